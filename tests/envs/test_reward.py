import numpy as np

from dqgym.envs.reward import weights_of


def test_weights_are_1_where_not_given():
    np.testing.assert_array_equal(weights_of(None), [1.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(weights_of({"deadline": 0.0, "stall": 2}), [1.0, 2.0, 1.0, 0.0])
