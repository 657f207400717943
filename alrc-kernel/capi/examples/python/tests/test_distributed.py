"""Two processes over gloo, each with half of every batch."""

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")
distributed = pytest.importorskip("torch.distributed")
if not distributed.is_available() or not distributed.is_gloo_available():
    pytest.skip("not run: this torch has no gloo", allow_module_level=True)

from torch.nn.parallel import DistributedDataParallel

from alrc.torch import ALRC

RANKS, STEPS, BATCH = 2, 30, 8
PARAMETERS = {"num_stddev": 2, "decay": 0.9, "mu1_start": 1, "mu2_start": 2}


def train(network, alrc, share):
    """The clipped losses of every step, and the last gradients, for the share of each batch."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    clipped = []
    for step in range(STEPS):
        inputs = torch.randn(BATCH, 3, generator=generator, dtype=torch.float64)
        targets = inputs.prod(dim=1)
        # A spike on one rank alone.
        targets[0] += 10 if step % 7 == 3 else 0
        losses = alrc((network(inputs[share])[:, 0] - targets[share]).square())
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        clipped.append(losses.detach())
    return torch.stack(clipped), [parameter.grad for parameter in network.parameters()]


def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()


def run_rank(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=RANKS)
    share = slice(rank * BATCH // RANKS, (rank + 1) * BATCH // RANKS)
    alrc = ALRC(dtype=torch.float64, **PARAMETERS)
    clipped, gradients = train(DistributedDataParallel(network()), alrc, share)

    own = ALRC(synchronize=False)
    own(torch.tensor([10.0 + rank]))
    rejecting = ALRC(non_finite="reject")
    rejected = rejecting(torch.tensor([20.0, torch.nan if rank == 1 else 30.0]))
    result = {
        "clipped": clipped,
        "gradients": gradients,
        "state": alrc.alrc.to_bytes(),
        "count": alrc.sums.count,
        "own": own.alrc.mu1,
        "rejected": rejected,
    }
    torch.save(result, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(run_rank, (str(folder),), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


def test_two_processes_train_as_one(ranks):
    alrc = ALRC(dtype=torch.float64, **PARAMETERS)
    clipped, gradients = train(network(), alrc, slice(None))
    torch.testing.assert_close(torch.cat([rank["clipped"] for rank in ranks], dim=1), clipped)
    # The spikes have losses of about 100.
    assert clipped.max() < 70
    for rank in ranks:
        assert rank["count"] == BATCH
        torch.testing.assert_close(rank["gradients"], gradients)


def test_all_processes_hold_the_same_state(ranks):
    assert len({rank["state"] for rank in ranks}) == 1


def test_moments_of_one_process_alone(ranks):
    assert ranks[0]["own"] != ranks[1]["own"]


def test_a_loss_that_is_not_finite_rejects_the_batch_of_all(ranks):
    assert [rank["rejected"].tolist() for rank in ranks] == [[0, 0], [0, 0]]
