//! Conditions over the samples that one point gave within a time: the mechanism that they share.

use std::fmt::Debug;

use crate::alarm::condition::kind::ResolvedKind;
use crate::alarm::evaluation::{Evaluation, EvaluationContext, Truth, evaluation, truth};
use crate::alarm::resolve::ConditionInput;
use crate::model::quality::Cause;
use crate::model::window::SampleWindow;

/// A resolved condition over a window of one point's good samples. A sample that is bad empties the window.
pub trait WindowKind: Clone + Debug + PartialEq {
    /// The point whose samples it looks at.
    fn input(&self) -> &ConditionInput;

    /// Length of the window, milliseconds.
    fn length_ms(&self) -> u64;

    /// Whether it holds for the samples in the window, the newest included; the value and the limit to show.
    ///
    /// # Errors
    /// Why that is not known yet.
    fn evaluate_window(&self, window: &SampleWindow) -> Result<(bool, f64, f64), Cause>;

    /// Forgets changes so far: they were of a time in which it did not count.
    fn forget_changes(_window: &mut SampleWindow) {}

    /// A short English description, without its result.
    fn describe(&self) -> String;
}

impl<R, T: WindowKind> ResolvedKind<R> for T {
    type Memory = SampleWindow;

    fn memory(&self) -> SampleWindow {
        SampleWindow::new(self.length_ms())
    }

    fn inputs(&self) -> Vec<&ConditionInput> {
        vec![self.input()]
    }

    fn skips_unchanged(&self) -> bool {
        false
    }

    fn looks_back_ms(&self) -> u64 {
        self.length_ms()
    }

    fn evaluate(
        &self,
        window: &mut SampleWindow,
        c: &mut EvaluationContext<'_>,
        slots: &[usize],
        _parts: &[Evaluation],
    ) -> Evaluation {
        match c.number(slots[0]) {
            Ok(value) => {
                window.push(c.now.mono, value);
                match self.evaluate_window(window) {
                    Ok((holds, value, limit)) => evaluation(truth(holds), Some(value), Some(limit)),
                    Err(cause) => evaluation(Truth::Unknown(cause), Some(value), None),
                }
            }
            Err(cause) => {
                window.clear();
                evaluation(Truth::Unknown(cause), None, None)
            }
        }
    }

    fn forget_changes(window: &mut SampleWindow) {
        <T as WindowKind>::forget_changes(window);
    }

    fn describe(&self) -> String {
        WindowKind::describe(self)
    }
}
