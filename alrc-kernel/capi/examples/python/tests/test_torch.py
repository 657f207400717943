import copy
import io

import numpy as np
import pytest
from conftest import CONFIGURATIONS, GOLDEN, assert_step, golden, hard_cases

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from alrc import Alrc, _accelerator
from alrc.torch import ALRC

DTYPES = [torch.float32, torch.float64]


def device(name):
    """A device, "accelerator" for whichever is there."""
    if name == "cpu":
        return torch.device("cpu")
    if not torch.accelerator.is_available():
        pytest.skip("not run: there is no accelerator")
    return torch.accelerator.current_accelerator()


DEVICES = ["cpu", "accelerator"]


class OnAccelerator(ALRC):
    """The layer as it is on an accelerator, though its losses are in the host's memory."""

    def _clip(self, limits, losses):
        return _accelerator.clip(limits, losses)


@pytest.mark.parametrize("layer", [ALRC, OnAccelerator])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("where", DEVICES)
def test_agrees_with_the_published_layer(path, dtype, layer, where):
    parameters, steps = golden(path)
    alrc = layer(dtype=dtype, **parameters)
    for step in steps:
        limit = alrc.alrc.limits().upper
        losses = torch.tensor(step.losses, dtype=dtype, device=device(where), requires_grad=True)
        clipped = alrc(losses)
        clipped.sum().backward()
        assert_step(
            step,
            limit,
            clipped.detach().cpu().numpy(),
            losses.grad.cpu().numpy(),
            alrc.alrc.mu1,
            alrc.alrc.mu2,
        )


class Published(torch.nn.Module):
    """The published rule, whose gradients autograd finds."""

    def __init__(self, num_stddev, decay, mu1_start, mu2_start):
        super().__init__()
        self.num_stddev, self.decay = num_stddev, decay
        self.mu1, self.mu2 = (
            torch.tensor(float(start), dtype=torch.float64) for start in (mu1_start, mu2_start)
        )

    def forward(self, losses):
        limit = self.mu1 + self.num_stddev * (self.mu2 - self.mu1**2 + 1e-8).sqrt()
        clipped = torch.where(losses < limit, losses, losses / (losses / limit).detach())
        self.mu1 = self.decay * self.mu1 + (1 - self.decay) * clipped.detach().mean()
        self.mu2 = self.decay * self.mu2 + (1 - self.decay) * clipped.detach().square().mean()
        return clipped


@pytest.mark.parametrize("layer", [ALRC, OnAccelerator])
@pytest.mark.parametrize("shape", [(), (1,), (8,), (4, 2), (2, 2, 2)])
def test_trains_a_network_as_autograd_of_the_published_rule_does(layer, shape):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
    parameters = {"num_stddev": 2, "decay": 0.9, "mu1_start": 1, "mu2_start": 2}
    pairs = [
        (network, layer(dtype=torch.float64, **parameters)),
        (copy.deepcopy(network), Published(**parameters)),
    ]
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.01) for network, _ in pairs]
    clipped_in_all = 0
    for step in range(60):
        inputs = torch.randn(*shape, 3, dtype=torch.float64)
        spike = 10.0 if step % 7 == 3 else 0.0
        losses = []
        for (network, rule), optimizer in zip(pairs, optimizers, strict=True):
            error = network(inputs)[..., 0] - inputs.prod(dim=-1) + spike
            optimizer.zero_grad()
            loss = rule(error.square())
            assert loss.shape == shape
            # Whatever follows the layer, such as weights of examples.
            (loss * torch.linspace(1, 2, loss.numel(), dtype=torch.float64).reshape(shape)).mean().backward()
            optimizer.step()
            losses.append(loss.detach())
        torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)
        clipped_in_all += pairs[0][1].sums.clipped
        for ours, theirs in zip(*(network.parameters() for network, _ in pairs), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)
    assert clipped_in_all >= 8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("where", DEVICES)
def test_the_arithmetic_on_accelerators_is_that_of_the_kernel(configuration, dtype, where):
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-13}[dtype]
    alrc = Alrc(dtype=str(dtype).removeprefix("torch."), num_stddev=2, decay=0.9, **configuration)
    generator = np.random.default_rng(1)
    usual = [generator.lognormal(3, 1, size) for size in (0, 1, 7, 5000)] * 5
    for losses in usual + hard_cases():
        losses = torch.tensor(losses, dtype=torch.float64).to(dtype)
        limits = alrc.limits()
        part = limits.clip(losses.numpy())
        clipped, scales, packed = _accelerator.clip(limits, losses.to(device(where)))
        sums = _accelerator.unpack(packed.cpu(), dtype)
        assert clipped.isfinite().all()
        finite = int(losses.isfinite().sum())
        assert (sums.count, sums.non_finite) == (finite, losses.numel() - finite)
        if limits.non_finite == "reject" and sums.non_finite:
            # The layer empties the batch when it has the sums of all processes.
            assert not part.clipped.any() and part.sums.count == 0
            alrc.update(part.sums)
            continue
        np.testing.assert_array_equal(clipped.cpu(), part.clipped)
        np.testing.assert_allclose(scales.cpu(), part.scales, rtol=tolerance)
        assert (sums.clipped, sums.largest_excess) == (part.sums.clipped, part.sums.largest_excess)
        # In terms of what may cancel: the losses, and the running mean, from which the kernel counts them.
        size = float(np.abs(part.clipped).max(initial=abs(limits.mean)))
        np.testing.assert_allclose(sums.mean, part.sums.mean, rtol=tolerance, atol=tolerance * size)
        deviations = [(found.squares / max(found.count, 1)) ** 0.5 for found in (sums, part.sums)]
        np.testing.assert_allclose(*deviations, rtol=tolerance, atol=tolerance * size)
        alrc.update(sums)


def test_no_loss_comes_back_from_an_accelerator():
    # Tensors without data: whatever the host wanted to know of one would be an error.
    losses = torch.empty(1000, 3, device="meta")
    clipped, scales, packed = _accelerator.clip(Alrc(dtype="float32").limits(), losses)
    assert {clipped.device.type, scales.device.type, packed.device.type} == {"meta"}
    assert packed.shape == (6,)


@pytest.mark.parametrize("layer", [ALRC, OnAccelerator])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_losses_within_the_limits_keep_type_layout_and_bits(dtype, layer):
    losses = torch.arange(24).reshape(4, 6).t()[::2].to(dtype)
    clipped = layer()(losses)
    assert clipped.dtype == dtype and clipped.shape == losses.shape
    assert torch.equal(clipped, losses)


@pytest.mark.parametrize("layer", [ALRC, OnAccelerator])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_smaller_types_get_gradients_of_their_type(dtype, layer):
    losses = torch.tensor([20, 900, torch.inf], dtype=dtype, requires_grad=True)
    clipped = layer()(losses)
    clipped.sum().backward()
    assert losses.grad.dtype == dtype
    torch.testing.assert_close(clipped[1].float(), torch.tensor(25 + 3 * 275**0.5), rtol=0.01, atol=0)
    torch.testing.assert_close(losses.grad.float(), torch.tensor([1, 0.0831, 0]), rtol=0.01, atol=0)


@pytest.mark.parametrize("layer", [ALRC, OnAccelerator])
@pytest.mark.parametrize("non_finite", ["skip", "reject"])
def test_a_loss_that_is_not_finite_sends_nothing_back(non_finite, layer):
    alrc = layer(non_finite=non_finite)
    before = alrc.alrc.to_bytes()
    losses = torch.tensor([20, torch.nan, -torch.inf], requires_grad=True)
    clipped = alrc(losses)
    clipped.sum().backward()
    others = 0 if non_finite == "reject" else 1
    assert clipped.tolist() == [20 * others, 0, 0]
    assert losses.grad.tolist() == [others, 0, 0]
    assert (alrc.alrc.to_bytes() == before) == (non_finite == "reject")


@pytest.mark.parametrize("layer", [ALRC, OnAccelerator])
def test_no_losses_are_no_step(layer):
    alrc = layer()
    before = alrc.alrc.to_bytes()
    losses = torch.empty(0, 3, requires_grad=True)
    alrc(losses).sum().backward()
    assert losses.grad.shape == (0, 3)
    assert alrc.alrc.to_bytes() == before


def test_types_without_room_are_refused():
    with pytest.raises(TypeError, match=r"ALRC\(dtype=torch.float64\)"):
        ALRC()(torch.ones(2, dtype=torch.float64))
    with pytest.raises(TypeError, match="int64"):
        ALRC()(torch.ones(2, dtype=torch.int64))
    with pytest.raises(TypeError, match="float16"):
        ALRC(dtype=torch.float16)


def test_evaluation_leaves_losses_and_moments():
    alrc = ALRC().eval()
    before = alrc.alrc.to_bytes()
    losses = torch.tensor([900.0, torch.inf])
    assert torch.equal(alrc(losses), losses)
    assert alrc.alrc.to_bytes() == before


def test_gradients_of_gradients():
    losses = torch.tensor([20.0, 900.0], requires_grad=True)
    weights = torch.tensor([2.0, 3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad((ALRC()(losses) * weights).sum(), losses, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), weights)
    torch.testing.assert_close(second, gradient.detach() / weights.detach())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_goes_on_from_its_state_dict_to_the_bit(dtype):
    def step(model, value):
        losses = torch.full((3,), value, dtype=dtype, requires_grad=True)
        model[0](losses).sum().backward()
        return losses.grad

    model = torch.nn.ModuleList([ALRC(dtype=dtype, num_stddev=2, decay=0.9, warm_up_steps=3)])
    for value in (20, 21, 22, 30):
        step(model, value)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    restored = torch.nn.ModuleList([ALRC(dtype=dtype)])
    restored.load_state_dict(torch.load(file, weights_only=True))
    for other in (restored, copy.deepcopy(model)):
        current = copy.deepcopy(model)
        for value in (900, 23, 40):
            assert torch.equal(step(current, value), step(other, value))
        assert current[0].alrc.to_bytes() == other[0].alrc.to_bytes()


def test_a_state_dict_that_does_not_fit_is_refused():
    state = ALRC(dtype=torch.float64).state_dict()
    with pytest.raises(Exception, match="float64 moments"):
        ALRC().load_state_dict(state)
    with pytest.raises(Exception, match="_extra_state"):
        ALRC().load_state_dict({})
    state["_extra_state"][50] ^= 1
    with pytest.raises(Exception, match="snapshot"):
        ALRC(dtype=torch.float64).load_state_dict(state)


def test_stands_in_a_compiled_function():
    alrc, eager = ALRC(), ALRC()

    def loss(values, layer):
        return layer(values.square()).mean()

    compiled = torch.compile(loss, backend="eager")
    for value in (4.0, 30.0):
        results = []
        for function, layer in ((loss, eager), (compiled, alrc)):
            values = torch.tensor([value, 1.0], requires_grad=True)
            function(values, layer).backward()
            results.append(values.grad)
        assert torch.equal(*results)
    assert alrc.alrc.to_bytes() == eager.alrc.to_bytes()
