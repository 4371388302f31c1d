# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for the tests, and a certificate of 127.0.0.1."""

import os
import subprocess


class Certificate:
    def __init__(self, folder):
        path = lambda name: os.path.join(folder, name)
        self.ca, self.chain, self.key = path("ca.pem"), path("server.pem"), path("server.key")
        self.openssl("req", "-x509", *self.new_key(path("ca.key")), "-out", self.ca,
                     "-days", "30", "-subj", "/CN=weightfs test authority",
                     "-addext", "basicConstraints=critical,CA:TRUE",
                     "-addext", "keyUsage=critical,keyCertSign")
        self.openssl("req", *self.new_key(self.key), "-out", path("server.csr"),
                     "-subj", "/CN=localhost")
        with open(path("extensions"), "w") as file:
            file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self.openssl("x509", "-req", "-in", path("server.csr"), "-CA", self.ca,
                     "-CAkey", path("ca.key"), "-CAcreateserial", "-days", "30",
                     "-extfile", path("extensions"), "-out", self.chain)

    @staticmethod
    def new_key(path):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path)

    @staticmethod
    def openssl(*args):
        subprocess.run(("openssl",) + args, check=True, capture_output=True)
