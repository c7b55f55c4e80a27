import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codesign.packing.streams import activation_beats, result_beats, results_of_beats
from codesign.simulation.random_designs import SMALL_ARRAY
from tests.hardware.designs import accelerators


def test_activations_by_hand() -> None:
    """Blocks of 6 columns, 3 lanes: 18 bytes are three beats of 8."""
    x = np.arange(7 * 4, dtype=np.int8).reshape(7, 4)
    beats = activation_beats(SMALL_ARRAY, x)
    assert beats.shape == (2 * 2 * 3, 8)
    words = beats.reshape(4, 24)
    # The first column block's features 0 to 5, tokens 0 to 2, then its token 3; then feature 6 alone.
    assert words[0].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18, 20, 21, 22] + [0] * 6
    assert words[1].tolist() == [3, 0, 0, 7, 0, 0, 11, 0, 0, 15, 0, 0, 19, 0, 0, 23, 0, 0] + [0] * 6
    assert words[2].tolist() == [24, 25, 26] + [0] * 21
    assert words[3].tolist() == [27] + [0] * 23


def test_results_by_hand() -> None:
    """4 rows in two parts, 3 lanes: 6 bytes are one beat of 8."""
    y = np.arange(5 * 4, dtype=np.int8).reshape(5, 4)
    beats = result_beats(SMALL_ARRAY, y)
    assert beats.tolist() == [
        [0, 1, 2, 4, 5, 6, 0, 0],
        [8, 9, 10, 12, 13, 14, 0, 0],
        [3, 0, 0, 7, 0, 0, 0, 0],
        [11, 0, 0, 15, 0, 0, 0, 0],
        [16, 17, 18, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [19, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]


@given(accelerators(), st.integers(1, 40), st.integers(1, 30), st.integers(0, 1 << 30))
def test_results_lead_back(accelerator, features: int, tokens: int, seed: int) -> None:
    y = np.random.default_rng(seed).integers(-128, 128, (features, tokens)).astype(np.int8)
    assert np.array_equal(results_of_beats(accelerator, result_beats(accelerator, y), features, tokens), y)
