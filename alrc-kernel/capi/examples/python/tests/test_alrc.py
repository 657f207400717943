import copy
import ctypes
import pickle
import re

import numpy as np
import pytest
from conftest import CAPI, CONFIGURATIONS, GOLDEN, assert_step, golden, hard_cases

import alrc
from alrc import Alrc
from alrc._library import INTERFACES

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_batches_agree_with_the_published_implementation(path, dtype):
    parameters, steps = golden(path)
    state = Alrc(dtype=dtype, **parameters)
    for step in steps:
        clipped, scales, report = state.step_batch(step.losses)
        assert report.clipped == np.count_nonzero(scales < 1)
        assert_step(step, report.limit, clipped, scales, state.mu1, state.mu2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "path", [path for path in GOLDEN if "batch" not in path.stem], ids=lambda path: path.stem
)
def test_single_losses_agree_with_the_published_implementation(path, dtype):
    parameters, steps = golden(path)
    state = Alrc(dtype=dtype, **parameters)
    for step in steps:
        limit = state.limits().upper
        clipped, scale = state.step(step.losses[0])
        assert_step(step, limit, np.array([clipped]), np.array([scale]), state.mu1, state.mu2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_two_phases_agree_with_the_published_implementation(path, dtype):
    parameters, steps = golden(path)
    state = Alrc(dtype=dtype, **parameters)
    for step in steps:
        limits = state.limits()
        parts = [limits.clip(part) for part in np.array_split(step.losses, 3)]
        sums = state.update(*(part.sums for part in parts))
        assert sums.count == len(step.losses)
        clipped = np.concatenate([part.clipped for part in parts])
        scales = np.concatenate([part.scales for part in parts])
        assert_step(step, limits.upper, clipped, scales, state.mu1, state.mu2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_step_in_one_call_and_in_two_phases_are_the_same_to_the_bit(configuration, dtype):
    whole, phases = (Alrc(dtype=dtype, num_stddev=2, decay=0.9, **configuration) for _ in range(2))
    for losses in hard_cases():
        with np.errstate(over="ignore"):
            losses = losses.astype(dtype)
        clipped, scales, report = whole.step_batch(losses)
        part = phases.limits().clip(losses)
        phases.update(part.sums)
        np.testing.assert_array_equal(clipped, part.clipped)
        np.testing.assert_array_equal(scales, part.scales)
        assert np.isfinite(clipped).all() and np.isfinite(scales).all()
        assert report.non_finite == part.sums.non_finite == np.count_nonzero(~np.isfinite(losses))
        assert whole.to_bytes() == phases.to_bytes()


def test_a_loss_that_is_not_finite_is_nothing():
    state, other = Alrc(), Alrc()
    for loss in (np.nan, np.inf, -np.inf):
        assert state.step(loss) == (0, 0)
    assert state.to_bytes() == other.to_bytes()
    clipped, scales, report = state.step_batch([20, np.nan, 30])
    other.step_batch([20, 30])
    assert (clipped.tolist(), scales.tolist(), report.non_finite) == ([20, 0, 30], [1, 0, 1], 1)
    assert state.to_bytes() == other.to_bytes()


def test_a_batch_is_rejected_whole():
    state = Alrc(non_finite="reject")
    before = state.to_bytes()
    clipped, scales, report = state.step_batch([20, np.nan, 30])
    assert not clipped.any() and not scales.any() and not report.updated
    assert state.to_bytes() == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_not_copied(dtype):
    losses = np.array([[20, 900], [31, 25]], dtype)
    scales = np.zeros_like(losses)
    result = Alrc(dtype=dtype).step_batch(losses, clipped=losses, scales=scales)
    assert result.clipped is losses and result.scales is scales
    assert losses[0, 1] == result.report.limit and 0 < scales[0, 1] < 1


def test_other_layouts_and_types_are_read():
    losses = np.arange(24).reshape(4, 6).T[::2]
    clipped, scales, _ = Alrc(mu1_start=1, mu2_start=5).step_batch(losses)
    straight = Alrc(mu1_start=1, mu2_start=5).step_batch(np.ascontiguousarray(losses, float))
    np.testing.assert_array_equal(clipped, straight.clipped)
    np.testing.assert_array_equal(scales, straight.scales)
    assert Alrc().step_batch(20).clipped.shape == ()
    assert Alrc().step_batch([]).report.updated is False


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(3, np.float32), np.zeros(2), np.zeros(6)[::2], np.frombuffer(bytes(24)), np.zeros((3, 1))],
    ids=["type", "length", "stride", "read-only", "shape"],
)
def test_results_do_not_go_to_arrays_that_do_not_fit(wrong):
    for name in ("clipped", "scales"):
        with pytest.raises(ValueError, match=f"{name} must be"):
            Alrc().step_batch(np.zeros(3), **{name: wrong})


def test_overlapping_arrays_are_refused():
    memory = np.ones(4)
    with pytest.raises(alrc.Error, match="overlap"):
        Alrc().step_batch(memory[:3], clipped=memory[1:])
    np.testing.assert_array_equal(memory, 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_stddev": -1}, "num_stddev must be from 0 to 1e9, not -1"),
        ({"num_stddev_below": np.nan}, "num_stddev_below must be .*, not nan"),
        ({"decay": 2}, "decay must be at least 0 and below 1, not 2"),
        ({"decay2": -0.1}, "decay2 must be at least 0 and below 1, not -0.1"),
        ({"mu1_start": np.inf}, "mu1_start must be .*, not inf"),
        ({"mu2_start": 625}, "mu2_start must be .* above the square of mu1_start, not 625"),
        ({"epsilon": -1}, "epsilon must be from 0 to 1e9, not -1"),
        ({"warm_up_steps": -1}, "warm_up_steps must be from 0 to 4294967295, not -1"),
        ({"scaling": "none"}, "scaling"),
        ({"non_finite": "keep"}, "non_finite"),
    ],
)
def test_a_parameter_outside_its_range_is_named(parameters, message):
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        Alrc(**parameters)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_parameters_are_shown_as_they_are_given():
    assert repr(Alrc(num_stddev=2, decay2=0.5, scaling="deviation")) == (
        "Alrc(dtype=float64, num_stddev=2, num_stddev_below=None, decay=0.999, decay2=0.5, mu1_start=25, "
        "mu2_start=900, epsilon=1e-08, warm_up_steps=0, scaling='deviation', non_finite='skip'; mu1=25, mu2=900)"
    )


@pytest.mark.parametrize("loss", ["x", None, [1.0, 2.0]])
def test_a_loss_that_is_no_number_is_refused(loss):
    state = Alrc()
    before = state.to_bytes()
    with pytest.raises(TypeError, match=f"must be a number, not {type(loss).__name__}"):
        state.step(loss)
    assert state.to_bytes() == before


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="float16"):
        Alrc(dtype=np.float16)


def test_sums_that_no_losses_have_are_refused():
    state = Alrc()
    before = state.to_bytes()
    for sums in (alrc.Sums(1, 0, 0, np.nan, 0, 0), alrc.Sums(1, 2, 0, 1, 0, 0), alrc.Sums(1, 0, 0, 1, -1, 0)):
        with pytest.raises(alrc.Error):
            state.update(sums)
    assert state.to_bytes() == before


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_go_on_to_the_bit(dtype):
    state = Alrc(dtype=dtype, warm_up_steps=2, num_stddev_below=2)
    state.step(17)
    copies = [
        Alrc.from_bytes(state.to_bytes()),
        pickle.loads(pickle.dumps(state)),
        copy.deepcopy(state),
    ]
    for loss in (20, 900, 3):
        result = state.step(loss)
        for other in copies:
            assert other.step(loss) == result
            assert (other.dtype, other.to_bytes()) == (dtype, state.to_bytes())


def test_damaged_snapshots_are_refused():
    snapshot = Alrc().to_bytes()
    damaged = [b"", snapshot[:-1], snapshot + b"\0", bytes(100)]
    damaged += [snapshot[:i] + bytes([snapshot[i] ^ 1]) + snapshot[i + 1 :] for i in range(len(snapshot))]
    for wrong in damaged:
        with pytest.raises(alrc.Error):
            Alrc.from_bytes(wrong)
    with pytest.raises(alrc.Error, match="a snapshot has 100 bytes, not 2"):
        Alrc.from_bytes(b"xx")


@pytest.mark.parametrize("interface", INTERFACES.values(), ids=["f32", "f64"])
def test_structs_are_those_of_the_header(interface):
    header = (CAPI / "include" / "alrc.h").read_text()
    prefix = {4: "alrc_f32", 8: "alrc_f64"}[interface.dtype.itemsize]
    types = {
        "float": ctypes.c_float,
        "double": ctypes.c_double,
        "uint32_t": ctypes.c_uint32,
        "uint64_t": ctypes.c_uint64,
        f"struct {prefix}_config": interface.Config,
    }
    for struct, name in [
        (interface.Config, f"{prefix}_config"),
        (interface.State, prefix),
        (interface.Report, f"{prefix}_report"),
        (interface.Limits, f"{prefix}_limits"),
        (interface.Sums, f"{prefix}_sums"),
    ]:
        (body,) = re.findall(rf"typedef struct {name} {{(.*?)}} {name};", header, re.DOTALL)
        fields = re.findall(r"^ +(\S.*?) (\w+);$", body, re.MULTILINE)
        assert [(field, types[kind]) for kind, field in fields] == list(struct._fields_)
