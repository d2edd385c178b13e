//! Who called whom: return addresses among the words on a stack.
//!
//! Programs have no frame pointers and no unwinding tables. A word is taken for a return address when the instruction
//! before the place that it points to is a call. It is *certain* when that call goes straight to the function of the
//! frame below; else it may be left over from a call that has returned, or the call went through a register.

use alloc::vec::Vec;

/// The most frames that are listed.
pub const MAX_FRAMES: usize = 32;
/// Bytes of the longest call instruction, without prefixes.
const LONGEST: usize = 7;

/// What is known of a program.
pub trait Program {
    /// Whether code lies at an address.
    fn is_code(&self, address: u64) -> bool;
    /// Copies code; whether all of it could be read.
    fn read(&self, address: u64, to: &mut [u8]) -> bool;
    /// Where the function begins that an address lies in.
    fn function(&self, address: u64) -> Option<u64>;
}

/// A place in the program that is being executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The next instruction, or where the function below returns to.
    pub address: u64,
    /// Whether the function below was surely called from here.
    pub certain: bool,
}

impl Frame {
    /// An address in the instruction that is being executed: a call may be its function's last.
    pub fn inside(&self, index: usize) -> u64 {
        self.address.saturating_sub(u64::from(index > 0))
    }
}

/// A call instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    /// To this address.
    Direct(u64),
    /// To wherever a register or memory said.
    Indirect,
}

/// The frames of a thread, the innermost first: that of `rip`, then those of return addresses in `stack`.
pub fn walk(program: &impl Program, rip: u64, stack: &[u64]) -> Vec<Frame> {
    let certain = true;
    let mut frames = alloc::vec![Frame {
        address: rip,
        certain
    }];
    // Functions that a certain call may go to: of the last certain frame, and of the doubtful ones since.
    let mut callees: Vec<(usize, u64)> = Vec::new();
    callees.extend(program.function(rip).map(|start| (0, start)));
    for address in stack.iter().copied() {
        if frames.len() == MAX_FRAMES {
            break;
        }
        let Some(call) = call_before(program, address) else {
            continue;
        };
        let called = callees
            .iter()
            .rev()
            .find(|(_, start)| call == Call::Direct(*start));
        let certain = called.is_some();
        if let Some((index, _)) = called {
            frames[*index].certain = true;
            callees.clear();
        }
        let start = program.function(address.saturating_sub(1));
        callees.extend(start.map(|start| (frames.len(), start)));
        frames.push(Frame { address, certain });
    }
    frames
}

/// The call that would return to an address.
fn call_before(program: &impl Program, address: u64) -> Option<Call> {
    let first = address.checked_sub(LONGEST as u64)?;
    let mut bytes = [0; LONGEST];
    if !program.is_code(first) || !program.is_code(address) || !program.read(first, &mut bytes) {
        return None;
    }
    if let [_, _, 0xe8, distance @ ..] = bytes {
        let distance = i64::from(i32::from_le_bytes(distance));
        let target = address.wrapping_add_signed(distance);
        if program.is_code(target) {
            return Some(Call::Direct(target));
        }
    }
    let lengths = [2, 3, 4, 6, 7];
    let is_call = |size: &usize| is_indirect_call(&bytes[LONGEST - size..]);
    lengths.iter().any(is_call).then_some(Call::Indirect)
}

/// Whether these bytes are a whole `call` through a register or memory (`FF /2`, Intel SDM volume 2, 2.1).
fn is_indirect_call(bytes: &[u8]) -> bool {
    let [0xff, form, rest @ ..] = bytes else {
        return false;
    };
    let (mode, kind, place) = (form >> 6, form >> 3 & 7, form & 7);
    let index = usize::from(mode != 3 && place == 4);
    let absolute = place == 5 || place == 4 && rest.first().is_some_and(|index| index & 7 == 5);
    let distance = match mode {
        0 if absolute => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    kind == 2 && rest.len() == index + distance
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0x40_0000;

    /// Functions of 0x100 bytes each, with calls in them.
    struct Code([u8; 0x1000]);

    impl Code {
        fn new() -> Self {
            Self([0x90; 0x1000])
        }

        /// Puts a call to `target` before the address that is returned.
        fn call(&mut self, at: u64, target: u64) -> u64 {
            let next = at + 5;
            let distance = (target as i64 - next as i64) as i32;
            self.put(at, &[0xe8]);
            self.put(at + 1, &distance.to_le_bytes());
            next
        }

        fn put(&mut self, at: u64, bytes: &[u8]) -> u64 {
            let from = (at - START) as usize;
            self.0[from..from + bytes.len()].copy_from_slice(bytes);
            at + bytes.len() as u64
        }
    }

    impl Program for Code {
        fn is_code(&self, address: u64) -> bool {
            (START..START + 0x1000).contains(&address)
        }

        fn read(&self, address: u64, to: &mut [u8]) -> bool {
            let from = (address - START) as usize;
            let found = self.0.get(from..from + to.len());
            if let Some(bytes) = found {
                to.copy_from_slice(bytes);
            }
            found.is_some()
        }

        fn function(&self, address: u64) -> Option<u64> {
            self.is_code(address).then_some(address & !0xff)
        }
    }

    const fn sure(address: u64) -> Frame {
        Frame {
            address,
            certain: true,
        }
    }

    const fn doubtful(address: u64) -> Frame {
        Frame {
            address,
            certain: false,
        }
    }

    #[test]
    fn a_chain_of_direct_calls_is_certain() {
        let mut code = Code::new();
        let inner = code.call(START + 0x210, START + 0x100);
        let outer = code.call(START + 0x310, START + 0x200);
        let rip = START + 0x123;
        let stack = [7, inner, 0, START + 0x150, outer, u64::MAX];
        let expected = [sure(rip), sure(inner), sure(outer)];
        assert_eq!(walk(&code, rip, &stack), expected);
    }

    #[test]
    fn what_is_left_over_is_doubtful_and_the_chain_goes_on() {
        let mut code = Code::new();
        let left = code.call(START + 0x510, START + 0x600);
        let inner = code.call(START + 0x210, START + 0x100);
        let rip = START + 0x123;
        let found = walk(&code, rip, &[left, inner]);
        let expected = [sure(rip), doubtful(left), sure(inner)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_call_through_a_register_is_confirmed_by_who_called_its_function() {
        let mut code = Code::new();
        let by_register = code.put(START + 0x220, &[0xff, 0xd0]);
        let outer = code.call(START + 0x310, START + 0x200);
        let rip = START + 0x123;
        let alone = [sure(rip), doubtful(by_register)];
        assert_eq!(walk(&code, rip, &[by_register]), alone);
        let expected = [sure(rip), sure(by_register), sure(outer)];
        assert_eq!(walk(&code, rip, &[by_register, outer]), expected);
    }

    #[test]
    fn a_jump_to_nowhere_is_known_by_its_caller() {
        let mut code = Code::new();
        let caller = code.put(START + 0x220, &[0xff, 0x54, 0x24, 0x08]);
        assert_eq!(walk(&code, 0, &[caller])[1], doubtful(caller));
    }

    #[test]
    fn all_forms_of_a_call_are_known_and_nothing_else() {
        let calls: [&[u8]; 9] = [
            &[0xff, 0xd0],
            &[0xff, 0x10],
            &[0xff, 0x50, 8],
            &[0xff, 0x14, 0xc8],
            &[0xff, 0x54, 0x24, 8],
            &[0xff, 0x15, 1, 2, 3, 4],
            &[0xff, 0x90, 1, 2, 3, 4],
            &[0xff, 0x94, 0x24, 1, 2, 3, 4],
            &[0xff, 0x14, 0x25, 1, 2, 3, 4],
        ];
        for call in calls {
            assert!(is_indirect_call(call), "{call:x?}");
            assert!(!is_indirect_call(&call[1..]), "{call:x?}");
        }
        let others: [&[u8]; 5] = [
            &[0xff, 0xe0],
            &[0xff, 0x15],
            &[0xff, 0x50],
            &[0x90, 0xd0],
            &[0xff, 0xd0, 0],
        ];
        for other in others {
            assert!(!is_indirect_call(other), "{other:x?}");
        }
    }

    #[test]
    fn a_stack_full_of_calls_gives_no_more_than_is_listed() {
        let mut code = Code::new();
        let again = code.call(START + 0x110, START + 0x100);
        let stack = [again; 100];
        let frames = walk(&code, START + 0x120, &stack);
        assert_eq!(frames.len(), MAX_FRAMES);
        assert!(frames.iter().all(|frame| frame.certain));
        assert!(walk(&code, 0, &[0, 1, 6, START, START + 6, u64::MAX]).len() == 1);
    }
}
