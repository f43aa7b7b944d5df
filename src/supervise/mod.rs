//! Spawns every task, restarts what panics within a budget, drains in order and names what would not stop.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

#[cfg(panic = "abort")]
compile_error!("a task that panics is rebuilt here; with panic = \"abort\" the whole process would end");

/// Restarts that a task may need in ten minutes; then it is tried once every ten minutes.
const RESTARTS: usize = 5;
const WINDOW_US: u64 = 600_000_000;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a supervisor shows of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// The task.
    pub task: String,
    /// Times it panicked.
    pub panics: u64,
    /// Whether its restarts are used up.
    pub standing: bool,
}

/// One task of a group, for stopping it alone.
#[derive(Clone, Debug)]
pub struct Handle {
    stop: CancellationToken,
    done: CancellationToken,
}

impl Handle {
    /// Tells the task to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops the task and waits until it has ended.
    pub async fn end(&self) {
        self.stop.cancel();
        self.done.cancelled().await;
    }
}

/// A group of tasks that is stopped together.
pub struct TaskGroup {
    name: &'static str,
    clock: Clock,
    stop: CancellationToken,
    tasks: Vec<(String, JoinHandle<()>)>,
    troubles: Arc<Mutex<Vec<TaskFailure>>>,
}

impl TaskGroup {
    /// An empty group; `troubles` is shared with whoever shows them.
    pub fn new(name: &'static str, clock: &Clock, troubles: &Arc<Mutex<Vec<TaskFailure>>>) -> Self {
        let (clock, troubles) = (clock.clone(), Arc::clone(troubles));
        Self { name, clock, stop: CancellationToken::new(), tasks: Vec::new(), troubles }
    }

    /// A token that is cancelled when this group is drained.
    pub fn token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Spawns a task. `make` builds it anew after a panic; a task that returns is finished.
    pub fn spawn(&mut self, name: &str, make: impl Fn(CancellationToken) -> Task + Send + Sync + 'static) -> Handle {
        let make = Arc::new(make);
        let token = self.stop.child_token();
        let done = CancellationToken::new();
        let ends = done.clone().drop_guard();
        let (clock, troubles) = (self.clock.clone(), Arc::clone(&self.troubles));
        let (stop, task) = (token.clone(), name.to_string());
        let handle = tokio::spawn(async move {
            let _ends = ends;
            let mut panics: VecDeque<u64> = VecDeque::new();
            loop {
                // Built within the task, so that a panic in building is caught like any other.
                let (make, stop_inner) = (Arc::clone(&make), stop.clone());
                let inner = tokio::spawn(async move { make(stop_inner).await });
                let aborter = AbortOnDrop(inner.abort_handle());
                let result = inner.await;
                drop(aborter);
                match result {
                    Err(e) if e.is_panic() => {}
                    _ => return,
                }
                let now = clock.mono_us();
                panics.push_back(now);
                panics.retain(|at| now - at < WINDOW_US);
                let standing = panics.len() > RESTARTS;
                note(&troubles, &task, standing);
                tracing::error!(task, standing, "a task panicked and is built anew");
                let pause = if standing { Duration::from_micros(WINDOW_US) } else { Duration::from_millis(200) };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        self.tasks.push((name.to_string(), handle));
        Handle { stop: token, done }
    }

    /// Spawns a task that cannot be rebuilt, because nobody knows what its state is worth after a panic: then `broken` is
    /// called, once.
    pub fn spawn_vital(
        &mut self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
        broken: impl FnOnce() + Send + 'static,
    ) {
        let (troubles, named) = (Arc::clone(&self.troubles), name.to_string());
        let handle = tokio::spawn(async move {
            let inner = tokio::spawn(task);
            let _aborter = AbortOnDrop(inner.abort_handle());
            if inner.await.is_err_and(|e| e.is_panic()) {
                note(&troubles, &named, true);
                tracing::error!(task = named, "a task panicked that cannot be built anew");
                broken();
            }
        });
        self.tasks.push((name.to_string(), handle));
    }

    /// Stops every task; those that hang longer than the deadline are aborted, by name.
    pub async fn drain(self, deadline: Duration) {
        self.stop.cancel();
        let end = tokio::time::Instant::now() + deadline;
        for (name, mut handle) in self.tasks {
            if tokio::time::timeout_at(end, &mut handle).await.is_err() {
                tracing::warn!(group = self.name, task = name, "would not stop: aborted");
                handle.abort();
            }
        }
    }

    /// Forgets tasks that have ended (a reload replaces some).
    pub fn sweep(&mut self) {
        self.tasks.retain(|(_, handle)| !handle.is_finished());
    }
}

fn note(troubles: &Mutex<Vec<TaskFailure>>, task: &str, standing: bool) {
    let mut all = troubles.lock().unwrap_or_else(PoisonError::into_inner);
    match all.iter_mut().find(|t| t.task == task) {
        Some(trouble) => {
            trouble.panics += 1;
            trouble.standing = standing;
        }
        None => all.push(TaskFailure { task: task.to_string(), panics: 1, standing }),
    }
}

/// The inner task ends with the outer one.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests wait for real things in real time")]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock;
    use crate::model::time::UnixMillis;

    #[tokio::test]
    async fn a_task_that_panics_is_rebuilt_and_one_that_hangs_is_aborted() {
        let clock = Clock::new(&clock::ClockSettings::default(), UnixMillis(0));
        let troubles = Arc::default();
        let mut group = TaskGroup::new("test", &clock, &troubles);
        let runs = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&runs);
        group.spawn("panics twice", move |stop| {
            let runs = Arc::clone(&counted);
            Box::pin(async move {
                assert!(runs.fetch_add(1, Ordering::Relaxed) >= 2, "on purpose");
                stop.cancelled().await;
            })
        });
        group.spawn("hangs", |_| Box::pin(std::future::pending()));
        for _ in 0..500 {
            if runs.load(Ordering::Relaxed) == 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        group.drain(Duration::from_millis(100)).await;
        let seen = troubles.lock().unwrap().clone();
        assert_eq!(seen, [TaskFailure { task: "panics twice".into(), panics: 2, standing: false }]);
    }
}
