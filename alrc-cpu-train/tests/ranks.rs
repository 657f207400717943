//! What several ranks that train together promise, whatever joins them. Here they are threads; `mpi.rs` has processes.

#[path = "common/ranks.rs"]
mod ranks;

use alrc_cpu_train::comm::agreement;
use alrc_cpu_train::config::{Config, SumOrder, Switch};
use alrc_cpu_train::data::sampler::Order;
use alrc_cpu_train::data::{Dataset, RECORD_SIZE, Record, synthetic};
use alrc_cpu_train::optim::OptimizerKind;
use alrc_cpu_train::train::{StepRecord, Trainer};
use alrc_kernel::Alrc;
use proptest::prelude::*;
use ranks::on_ranks;

fn textured(seed: usize) -> Record {
    std::array::from_fn(|index| (index * (31 + seed) % 256) as u8)
}

/// What a rank holds in the end: the records of its steps, parameters, and the state of the clipping.
type Held = (Vec<StepRecord>, Vec<f32>, Option<[u8; alrc_kernel::SNAPSHOT_LEN]>);

fn train(mut trainer: Trainer, steps: u64) -> Held {
    let records = (0..steps).map(|_| trainer.step()).collect();
    (records, trainer.parameters.to_vec(), trainer.alrc().map(Alrc::to_bytes))
}

/// What every rank holds, which must be the same to the bit on all.
fn train_on_ranks(size: usize, overlap: bool, steps: u64, trainer: impl Fn() -> Trainer + Sync) -> Held {
    let mut held = on_ranks(size, |communicator| {
        let mut trainer = trainer();
        trainer.join(communicator.clone(), overlap).unwrap();
        let held = train(trainer, steps);
        communicator.leave();
        held
    });
    let first = held.swap_remove(0);
    for other in held {
        assert!(same(&other.0, &first.0), "the records of two ranks differ");
        assert!(other.1 == first.1, "the parameters of two ranks differ");
        assert!(other.2 == first.2, "the clipping of two ranks differs");
    }
    first
}

/// Whether records are the same, with NaN the same as NaN.
fn same(a: &[StepRecord], b: &[StepRecord]) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// The largest difference of two curves of losses, relative to the loss.
fn difference(a: &[StepRecord], b: &[StepRecord]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a.unclipped_loss / b.unclipped_loss - 1.0).abs());
    differences.fold(0.0, |max, difference| {
        assert!(difference.is_finite());
        max.max(difference)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Any number of ranks trains like one, also where the batch does not divide by them.
    #[test]
    fn ranks_train_like_one(size in 1_usize..6, batch_size in 1_usize..24, sgd: bool) {
        check_ranks_train_like_one(size, batch_size, sgd);
    }
}

/// Ranks without an image do what the others do, but for the images.
#[test]
fn more_ranks_than_images_train_like_one() {
    for (size, batch_size) in [(2, 1), (5, 1), (5, 4)] {
        check_ranks_train_like_one(size, batch_size, size == 2);
    }
}

/// Also asserts that overlap changes no bit.
#[track_caller]
fn check_ranks_train_like_one(size: usize, batch_size: usize, sgd: bool) {
    let trainer = || {
        let optimizer = if sgd { OptimizerKind::Sgd } else { OptimizerKind::Adam };
        let config = Config { width: 4, batch_size, optimizer, decay: 0.9, ..Config::default() };
        Trainer::new(config, Dataset { records: (0..50).map(textured).collect() })
    };
    let alone = train(trainer(), 3);
    let together = train_on_ranks(size, true, 3, trainer);
    assert!(difference(&together.0, &alone.0) < 1e-5);
    if size == 1 {
        assert!(together == alone);
    }
    assert!(train_on_ranks(size, false, 3, trainer) == together);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn in_a_fixed_order_the_bits_do_not_depend_on_the_number_of_ranks(size in 2_usize..6, batch_size in 1_usize..24) {
        let trainer = || {
            let config = Config { width: 4, batch_size, sum_order: SumOrder::Fixed, ..Config::default() };
            Trainer::new(config, Dataset { records: (0..50).map(textured).collect() })
        };
        prop_assert!(train_on_ranks(size, true, 3, trainer) == train(trainer(), 3));
    }
}

/// Half of the images overflow, all of them on one of two ranks.
#[test]
fn a_non_finite_loss_on_one_rank_is_known_to_all() {
    let records = || vec![[100; RECORD_SIZE], [100; RECORD_SIZE], textured(0), textured(1)];
    let trainer = || {
        let config = Config {
            batch_size: 4,
            width: 8,
            augment: Switch::Off,
            order: Order::Sequential,
            optimizer: OptimizerKind::Sgd,
            learning_rate: 1e-6,
            ..Config::default()
        };
        let mut trainer = Trainer::new(config, Dataset { records: records() });
        // So large that every image but a flat one overflows.
        trainer.parameters.iter_mut().for_each(|parameter| *parameter *= 1e30);
        let bias = trainer.network.layout().parts().last().unwrap().range.clone();
        trainer.parameters[bias].fill(1.0);
        trainer
    };
    let alone = train(trainer(), 2);
    assert_eq!(alone.0[0].non_finite, 2);
    let together = train_on_ranks(2, true, 2, trainer);
    assert!(same(&together.0[..1], &alone.0[..1]), "{:?} {:?}", together.0[0], alone.0[0]);
    assert!(together.1.iter().all(|parameter| parameter.is_finite()));
    assert!(together.2 == alone.2, "the clipping differs from that of one rank");
}

/// The losses of the first step have the same bits for any number of ranks, so that the clipping has them too.
#[test]
fn the_clipping_does_not_depend_on_the_number_of_ranks() {
    let trainer = || {
        let config = Config { width: 4, batch_size: 37, ..Config::default() };
        Trainer::new(config, Dataset { records: synthetic::generate(0).records[..37].to_vec() })
    };
    let alone = train(trainer(), 1);
    for size in 2..5 {
        assert!(train_on_ranks(size, true, 1, trainer).2 == alone.2, "{size} ranks");
    }
}

#[test]
fn all_ranks_fail_where_one_does() {
    let failures = on_ranks(4, |communicator| {
        let own = (communicator.rank() % 2 == 1).then(|| (2, format!("no data on {}", communicator.rank())));
        agreement::all_well(&*communicator, own)
    });
    for failure in failures {
        let failure = failure.unwrap_err();
        assert_eq!((failure.rank, failure.status, &failure.others[..]), (1, 2, &[3][..]));
        assert_eq!(failure.to_string(), "rank 1: no data on 1 (so does rank 3)");
    }
    assert!(on_ranks(3, |communicator| agreement::all_well(&*communicator, None)).iter().all(Result::is_ok));
}

#[test]
fn ranks_that_differ_from_the_first_are_named() {
    let compare = |odd: usize| {
        on_ranks(3, |communicator| {
            let own = if communicator.rank() == odd { "0.2.0" } else { "0.1.0" };
            agreement::compare(&*communicator, own, |its, first| format!("is {its}, not {first}"))
        })
    };
    for result in compare(2) {
        assert_eq!(result.unwrap_err().to_string(), "rank 2: is 0.2.0, not 0.1.0");
    }
    assert_eq!(compare(0)[1].as_ref().unwrap_err().rank, 1);
    assert!(compare(3).iter().all(Result::is_ok));
}

#[test]
fn the_first_rank_speaks_and_the_greatest_wins() {
    let heard = on_ranks(3, |communicator| {
        let rank = communicator.rank() as u8;
        (agreement::from_first(&*communicator, &[rank + 7]), agreement::greatest(&*communicator, rank))
    });
    assert!(heard.iter().all(|heard| *heard == (vec![7], 2)));
}
