# SPDX-License-Identifier: Apache-2.0
"""A small language model in the layout of Hugging Face's hub: what transformers.js loads, and what it has to say.

Its graph looks up an embedding for each token: enough for feature extraction, and any wrong byte of it shows.
"""

import json
import math
import os
import random

WORDS = ["[PAD]", "[UNK]", "verified", "bytes", "are", "the", "same", "for", "all"]


class OnnxModel:
    def __init__(self, folder, dimensions=2048, filler=4096):
        """FILLER: further words, that make the file larger than a few chunks."""
        self.words = WORDS + [f"word{i}" for i in range(filler)]
        self.dimensions = dimensions
        generator = random.Random("a model of the test's own")
        self.table = [[generator.uniform(-1, 1) for _ in range(dimensions)]
                      for _ in range(len(WORDS))]
        os.makedirs(os.path.join(folder, "onnx"))
        self.write_graph(os.path.join(folder, "onnx", "model.onnx"), filler)
        for name, value in self.files().items():
            with open(os.path.join(folder, name), "w") as file:
                json.dump(value, file)

    def write_graph(self, path, filler):
        import numpy
        from onnx import TensorProto, helper, numpy_helper
        table = numpy.zeros((len(WORDS) + filler, self.dimensions), dtype=numpy.float32)
        table[:len(WORDS)] = numpy.array(self.table, dtype=numpy.float32)
        self.table = table[:len(WORDS)].tolist()  # as float32 has it
        integers = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64,
                                                              ["batch", "length"])
        graph = helper.make_graph(
            [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"], axis=0)],
            "tiny", [integers("input_ids"), integers("attention_mask")],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT,
                                           ["batch", "length", self.dimensions])],
            [numpy_helper.from_array(table, "table")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        with open(path, "wb") as file:
            file.write(model.SerializeToString())

    def files(self):
        vocabulary = {word: i for i, word in enumerate(self.words)}
        special = [{"id": i, "content": WORDS[i], "special": True, "single_word": False,
                    "lstrip": False, "rstrip": False, "normalized": False} for i in range(2)]
        return {
            "config.json": {"model_type": "distilbert", "architectures": ["DistilBertModel"],
                            "dim": self.dimensions, "vocab_size": len(self.words)},
            "tokenizer.json": {
                "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
                "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
                "post_processor": None, "decoder": None,
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}},
            "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast",
                                      "pad_token": "[PAD]", "unk_token": "[UNK]",
                                      "model_max_length": 128},
        }

    def features(self, text):
        """The mean of its words' embeddings, of length 1."""
        rows = [self.table[WORDS.index(word)] for word in text.split()]
        mean = [sum(column) / len(rows) for column in zip(*rows)]
        length = math.sqrt(sum(value * value for value in mean))
        return [value / length for value in mean]
