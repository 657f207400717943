//! Ranks that are threads of one process.

use std::collections::VecDeque;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use alrc_cpu_train::comm::Communicator;

/// What the ranks share.
#[derive(Debug)]
struct Shared {
    messages: Vec<Mutex<Vec<u8>>>,
    barrier: Barrier,
}

#[derive(Debug)]
struct Thread {
    rank: usize,
    begun: Mutex<VecDeque<Vec<f32>>>,
    shared: Arc<Shared>,
}

/// What `work` returns on each of `size` ranks.
pub(crate) fn on_ranks<T: Send>(size: usize, work: impl Fn(Arc<dyn Communicator>) -> T + Sync) -> Vec<T> {
    let messages = (0..size).map(|_| Mutex::default()).collect();
    let shared = Arc::new(Shared { messages, barrier: Barrier::new(size) });
    thread::scope(|scope| {
        let work = &work;
        let start = |rank| {
            let communicator = Thread { rank, begun: Mutex::default(), shared: Arc::clone(&shared) };
            scope.spawn(move || work(Arc::new(communicator)))
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.messages.len()
    }

    fn begin_sum(&self, values: &[f32]) {
        self.begun.lock().unwrap().push_back(values.to_vec());
    }

    fn end_sum(&self, values: &mut [f32]) {
        let own = self.begun.lock().unwrap().pop_front().expect("a sum was begun");
        assert!(values == own, "the values have changed since the sum was begun");
        let bytes: Vec<u8> = own.iter().flat_map(|value| value.to_ne_bytes()).collect();
        values.fill(0.0);
        for all in self.gather(&bytes) {
            assert_eq!(all.len(), bytes.len(), "ranks sum different buckets");
            for (value, &bytes) in values.iter_mut().zip(all.as_chunks().0) {
                *value += f32::from_ne_bytes(bytes);
            }
        }
    }

    fn gather(&self, message: &[u8]) -> Vec<Vec<u8>> {
        *self.shared.messages[self.rank].lock().unwrap() = message.to_vec();
        self.shared.barrier.wait();
        let all = self.shared.messages.iter().map(|message| message.lock().unwrap().clone()).collect();
        self.shared.barrier.wait();
        all
    }

    fn leave(&self) {
        assert!(self.begun.lock().unwrap().is_empty(), "a sum was begun but not ended");
        self.shared.barrier.wait();
    }

    fn abort(&self, status: u8) {
        panic!("rank {} aborts with {status}", self.rank);
    }
}
