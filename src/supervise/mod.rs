//! Spawns every task and restarts it after a panic, within a budget of restarts.
//!
//! Tasks belong to groups. Draining a group cancels its token, waits until a deadline, then aborts and logs the tasks that still
//! run. The caller drains the groups in order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::lock::lock;

#[cfg(panic = "abort")]
compile_error!("a task that panics is rebuilt here; with panic = \"abort\" the whole process would end");

/// Restarts of a task within ten minutes; beyond that it is restarted once every ten minutes.
const RESTARTS: usize = 5;
const WINDOW_US: u64 = 600_000_000;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Panics of one task since the process started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    pub task: String,
    pub panics: u64,
    /// Whether its restart budget is used up, or it cannot be restarted at all.
    pub restarts_exhausted: bool,
}

/// Stops one task of a group alone.
#[derive(Clone, Debug)]
pub struct TaskHandle {
    stop: CancellationToken,
    done: CancellationToken,
}

impl TaskHandle {
    /// Requests that the task stops; does not wait.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops the task and waits until it has ended.
    pub async fn stop_and_wait(&self) {
        self.stop.cancel();
        self.done.cancelled().await;
    }
}

/// A group of tasks that are stopped together.
pub struct TaskGroup {
    name: &'static str,
    clock: Clock,
    stop: CancellationToken,
    tasks: Vec<(String, JoinHandle<()>)>,
    failures: Arc<Mutex<Vec<TaskFailure>>>,
}

impl TaskGroup {
    /// An empty group. Its failures are added to a list that several groups share.
    pub fn new(name: &'static str, clock: &Clock, failures: &Arc<Mutex<Vec<TaskFailure>>>) -> Self {
        let (clock, failures) = (clock.clone(), Arc::clone(failures));
        Self { name, clock, stop: CancellationToken::new(), tasks: Vec::new(), failures }
    }

    /// A token that is cancelled when this group is drained.
    pub fn token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Spawns a task. After a panic `make` builds it again; a task that returns is finished.
    pub fn spawn(
        &mut self,
        name: &str,
        make: impl Fn(CancellationToken) -> Task + Send + Sync + 'static,
    ) -> TaskHandle {
        let make = Arc::new(make);
        let token = self.stop.child_token();
        let done = CancellationToken::new();
        let ends = done.clone().drop_guard();
        let (clock, failures) = (self.clock.clone(), Arc::clone(&self.failures));
        let (stop, task) = (token.clone(), name.to_string());
        let handle = tokio::spawn(async move {
            let _ends = ends;
            let mut panics: VecDeque<u64> = VecDeque::new();
            loop {
                // `make` runs within the inner task, so that its panics are caught too.
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
                record_panic(&failures, &task, standing);
                tracing::error!(task, standing, "a task panicked and is built anew");
                let pause = if standing { Duration::from_micros(WINDOW_US) } else { Duration::from_millis(200) };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
        self.tasks.push((name.to_string(), handle));
        TaskHandle { stop: token, done }
    }

    /// Spawns a task that is not restarted, because its state cannot be trusted after a panic. The callback is then called once.
    pub fn spawn_critical(
        &mut self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
        on_panic: impl FnOnce() + Send + 'static,
    ) {
        let (failures, named) = (Arc::clone(&self.failures), name.to_string());
        let handle = tokio::spawn(async move {
            let inner = tokio::spawn(task);
            let _aborter = AbortOnDrop(inner.abort_handle());
            if inner.await.is_err_and(|e| e.is_panic()) {
                record_panic(&failures, &named, true);
                tracing::error!(task = named, "a task panicked that cannot be built anew");
                on_panic();
            }
        });
        self.tasks.push((name.to_string(), handle));
    }

    /// Stops every task; those still running after the deadline are aborted and logged by name.
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

    /// Drops the handles of finished tasks, since a reload replaces some.
    pub fn drop_finished(&mut self) {
        self.tasks.retain(|(_, handle)| !handle.is_finished());
    }
}

fn record_panic(failures: &Mutex<Vec<TaskFailure>>, task: &str, restarts_exhausted: bool) {
    let mut all = lock(failures);
    match all.iter_mut().find(|t| t.task == task) {
        Some(failure) => {
            failure.panics += 1;
            failure.restarts_exhausted = restarts_exhausted;
        }
        None => all.push(TaskFailure { task: task.to_string(), panics: 1, restarts_exhausted }),
    }
}

/// Aborts the inner task when the outer one ends.
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
        let failures = Arc::default();
        let mut group = TaskGroup::new("test", &clock, &failures);
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
        let seen = failures.lock().unwrap().clone();
        assert_eq!(seen, [TaskFailure { task: "panics twice".into(), panics: 2, restarts_exhausted: false }]);
    }
}
