// SPDX-License-Identifier: Apache-2.0
// transformers.mjs FOLDER MODEL TEXT: the features of TEXT, as JSON, with nothing from the network.
import { env, pipeline } from '@huggingface/transformers';

const [folder, model, text] = process.argv.slice(2);

env.allowRemoteModels = false;
env.localModelPath = folder;
env.useFSCache = false;

const extract = await pipeline('feature-extraction', model, { dtype: 'fp32', device: 'cpu' });
const features = await extract(text, { pooling: 'mean', normalize: true });
console.log(JSON.stringify(Array.from(features.data)));
