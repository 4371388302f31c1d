# SPDX-License-Identifier: Apache-2.0
"""What the tests are made of: models, servers, a mounted daemon, and readers in processes of their own.

Everything waits by polling with a deadline; nothing sleeps for a fixed time to let something happen.
"""
