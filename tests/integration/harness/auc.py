# SPDX-License-Identifier: Apache-2.0
"""Can two kinds be told apart by a measured value? The area under the ROC curve says how well: 0.5 is a guess, 1 is certain."""

import math


def area(ones, others):
    """P(a one is larger than an other) + P(equal) / 2: by ranks (Mann and Whitney)."""
    ranked = sorted([(value, True) for value in ones] + [(value, False) for value in others])
    total, at = 0.0, 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            end += 1
        rank = (at + 1 + end) / 2  # of all that are equal
        total += rank * sum(is_one for _, is_one in ranked[at:end])
        at = end
    return (total - len(ones) * (len(ones) + 1) / 2) / (len(ones) * len(others))


def auc(ones, others):
    """In the better one of both directions."""
    value = area(ones, others)
    return max(value, 1 - value)


def deviation(n_ones, n_others):
    """The standard deviation of area() where there is nothing to be told."""
    return math.sqrt((n_ones + n_others + 1) / (12 * n_ones * n_others))
