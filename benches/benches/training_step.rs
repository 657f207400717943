//! A training step of the published network for each batch size of the published experiments.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use alrc_cpu_train::config::Config;
use alrc_cpu_train::data::synthetic;
use alrc_cpu_train::train::Trainer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn training_step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("training_step");
    group.sample_size(10);
    for batch_size in [1, 4, 16, 64] {
        let config = Config { batch_size, ..Config::default() };
        let mut trainer = Trainer::new(config, synthetic::generate(0));
        group.throughput(Throughput::Elements(batch_size as u64));
        group.bench_function(format!("batch_{batch_size}"), |bencher| {
            bencher.iter(|| assert!(trainer.step().loss.is_finite()));
        });
    }
    group.finish();
}

criterion_group!(benches, training_step);
criterion_main!(benches);
