//! Several pieces of work at a time.

use std::sync::Mutex;

/// Carries out `work` on every item, up to `jobs` at a time, in their order; no new one is begun after an error.
/// Returns the results in the order of the items, or the first error.
pub fn side_by_side<T: Send, R: Send, E: Send>(
    jobs: usize,
    items: impl IntoIterator<Item = T, IntoIter: Send>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let queue = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new(Vec::new());
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while lock(&failure).is_none() {
                    let Some((index, item)) = lock(&queue).next() else { return };
                    match work(item) {
                        Ok(result) => lock(&results).push((index, result)),
                        Err(error) => _ = lock(&failure).get_or_insert(error),
                    }
                }
            });
        }
    });
    if let Some(error) = lock(&failure).take() {
        return Err(error);
    }
    let mut results = std::mem::take(&mut *lock(&results));
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

/// Locks; a panic elsewhere has already ended the scope's work.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::side_by_side;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let squares = side_by_side(3, 0..50, |item| Ok::<_, ()>(item * item));
        assert_eq!(squares.unwrap(), (0..50).map(|item| item * item).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_the_series() {
        let begun = AtomicUsize::new(0);
        let result = side_by_side(2, 0..1000, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if item == 3 { Err("fourth") } else { Ok(()) }
        });
        assert_eq!(result, Err("fourth"));
        assert!(begun.load(Ordering::Relaxed) < 1000);
    }
}
