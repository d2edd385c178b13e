//! Interrupt lines: which may fire, and what to do when one does.
//!
//! The kernel masks a line when it fires, until its driver acknowledges. An I/O APIC forgets edges that
//! arrive at a masked input, so an edge-triggered line stays open after it fired: a second edge before
//! the acknowledgement is remembered here, masks the input, and is delivered afterwards.

/// The most lines: one interrupt vector each.
pub const MAX_LINES: usize = 176;

/// What a line does when it is not masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// Fires when the signal becomes active.
    Edge,
    /// Fires as long as the signal is active.
    Level,
}

/// A line's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Masked,
    Armed,
    /// An edge was delivered and not acknowledged. The input is open.
    Delivered,
    /// Another edge came after that. The input is masked.
    Again,
}

/// What the caller does with the input, and whether the kernel hears of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Action {
    /// What becomes of the input.
    pub input: Option<Input>,
    /// The interrupt is delivered to the kernel: now, or as soon as the caller can interrupt itself.
    pub deliver: bool,
}

/// A change of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Let it fire.
    Open,
    /// Let it not fire.
    Mask,
}

/// All lines of the machine.
pub struct Lines {
    lines: [(Trigger, State); MAX_LINES],
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

impl Lines {
    /// All lines masked, edge-triggered.
    pub const fn new() -> Self {
        Self {
            lines: [(Trigger::Edge, State::Masked); MAX_LINES],
        }
    }

    /// Says how a line is triggered.
    pub fn set_trigger(&mut self, line: u32, trigger: Trigger) {
        if let Some(entry) = self.lines.get_mut(line as usize) {
            entry.0 = trigger;
        }
    }

    /// The line fired.
    pub fn fired(&mut self, line: u32) -> Action {
        let Some((trigger, state)) = self.lines.get_mut(line as usize) else {
            return Action::default();
        };
        let (next, input, deliver) = match (*trigger, *state) {
            (Trigger::Level, State::Armed) => (State::Masked, Some(Input::Mask), true),
            (Trigger::Edge, State::Armed) => (State::Delivered, None, true),
            (Trigger::Edge, State::Delivered) => (State::Again, Some(Input::Mask), false),
            // It was on its way when it was masked.
            (_, other) => (other, Some(Input::Mask), false),
        };
        *state = next;
        Action { input, deliver }
    }

    /// The line may fire (again).
    pub fn unmask(&mut self, line: u32) -> Action {
        let Some((_, state)) = self.lines.get_mut(line as usize) else {
            return Action::default();
        };
        let deliver = *state == State::Again;
        let input = (*state != State::Delivered && *state != State::Armed).then_some(Input::Open);
        *state = State::Armed;
        Action { input, deliver }
    }

    /// The line must not fire.
    pub fn mask(&mut self, line: u32) -> Action {
        if let Some(entry) = self.lines.get_mut(line as usize) {
            entry.1 = State::Masked;
        }
        Action {
            input: Some(Input::Mask),
            deliver: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Option<Input> = Some(Input::Open);
    const MASK: Option<Input> = Some(Input::Mask);

    /// The kernel hears of it.
    fn told(input: Option<Input>) -> Action {
        Action {
            input,
            deliver: true,
        }
    }

    /// The kernel does not hear of it.
    fn kept(input: Option<Input>) -> Action {
        Action {
            input,
            deliver: false,
        }
    }

    #[test]
    fn a_level_is_masked_until_it_is_acknowledged() {
        let mut lines = Lines::new();
        lines.set_trigger(4, Trigger::Level);
        assert_eq!(lines.unmask(4), kept(OPEN));
        assert_eq!(lines.fired(4), told(MASK));
        assert_eq!(lines.fired(4), kept(MASK), "late");
        assert_eq!(lines.unmask(4), kept(OPEN));
    }

    #[test]
    fn an_edge_before_the_acknowledgement_is_not_lost() {
        let mut lines = Lines::new();
        assert_eq!(lines.unmask(4), kept(OPEN));
        assert_eq!(lines.fired(4), told(None));
        assert_eq!(lines.fired(4), kept(MASK));
        assert_eq!(lines.unmask(4), told(OPEN));
        assert_eq!(lines.fired(4), told(None));
        assert_eq!(lines.unmask(4), kept(None));
    }

    #[test]
    fn a_masked_line_is_not_delivered_and_no_line_beyond_the_last_does_anything() {
        let mut lines = Lines::new();
        lines.unmask(4);
        assert_eq!(lines.mask(4), kept(MASK));
        assert_eq!(lines.fired(4), kept(MASK));
        assert_eq!(lines.fired(10_000), Action::default());
        assert_eq!(lines.unmask(10_000), Action::default());
    }
}
