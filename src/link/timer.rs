//! A timer that is exact to some ten microseconds. tokio's own rounds up to the next millisecond, which would cost a character of
//! every frame on a serial line at 9600 baud.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A kernel timer (`timerfd`).
#[derive(Debug)]
pub struct Timer {
    fd: AsyncFd<OwnedFd>,
}

impl Timer {
    /// Must be called within a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the descriptor is owned by the `OwnedFd` that goes in, and lives as long as the registration.
        #[expect(unsafe_code, reason = "the safe constructor is deprecated in favour of this one")]
        let fd = unsafe { AsyncFd::register(fd) }?;
        Ok(Self { fd })
    }

    /// Waits this many microseconds.
    pub async fn wait_us(&mut self, us: u64) -> io::Result<()> {
        if us == 0 {
            return Ok(());
        }
        let seconds = i64::try_from(us / 1_000_000).unwrap_or(i64::MAX);
        let nanos = i64::try_from(us % 1_000_000 * 1_000).unwrap_or(0);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: seconds, tv_nsec: nanos } };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.fd.readable().await?;
            let mut count = [0u8; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut count)?)) {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}
