//! Finding return addresses on a stack that has no frame pointers.
//!
//! Frame pointers would cost every function of the message path two instructions and a register. So a
//! panic looks at each word of the stack: one that points into the kernel's code, just behind a call
//! instruction, is taken for a return address. A few of them are left over from earlier calls; that is
//! the price, paid only when reading a panic.

/// Whether the bytes before an address end with a near call, so that the address may be returned to.
///
/// `before` are the bytes that end where the address points; 7 are enough.
pub fn follows_call(before: &[u8]) -> bool {
    let byte = |back: usize| before.len().checked_sub(back).and_then(|at| before.get(at));
    // e8 rel32
    if byte(5) == Some(&0xe8) {
        return true;
    }
    // ff /2: the second byte says how many bytes the operand has; 2 to 7 in all.
    (2..=7).any(|length| {
        byte(length) == Some(&0xff)
            && byte(length - 1)
                .is_some_and(|modrm| call_length(*modrm, byte(length - 2)) == Some(length))
    })
}

/// How long `ff /2` with this operand is.
fn call_length(modrm: u8, sib: Option<&u8>) -> Option<usize> {
    if modrm >> 3 & 7 != 2 {
        return None;
    }
    let has_sib = modrm & 7 == 4;
    Some(match (modrm >> 6, has_sib) {
        (3, _) => 2,
        (0, false) if modrm & 7 == 5 => 6,
        (0, false) => 2,
        (0, true) if sib? & 7 == 5 => 7,
        (0, true) => 3,
        (1, sib) => 3 + usize::from(sib),
        (_, sib) => 6 + usize::from(sib),
    })
}

#[cfg(test)]
mod tests {
    use super::follows_call;

    #[test]
    fn calls_are_recognised() {
        let calls: [&[u8]; 8] = [
            &[0xe8, 1, 2, 3, 4],
            &[0xff, 0xd0],                   // call rax
            &[0x41, 0xff, 0xd5],             // call r13
            &[0xff, 0x15, 1, 2, 3, 4],       // call [rip + x]
            &[0xff, 0x50, 0x18],             // call [rax + 0x18]
            &[0xff, 0x54, 0x24, 0x08],       // call [rsp + 8]
            &[0xff, 0x93, 1, 2, 3, 4],       // call [rbx + x]
            &[0xff, 0x14, 0xc5, 1, 2, 3, 4], // call [rax * 8 + x]
        ];
        for call in calls {
            assert!(follows_call(call), "{call:02x?}");
        }
    }

    #[test]
    fn other_instructions_are_not() {
        let others: [&[u8]; 6] = [
            &[],
            &[0x90; 7],
            &[0xe9, 1, 2, 3, 4],       // jmp
            &[0xff, 0xe0],             // jmp rax
            &[0xff, 0x35, 1, 2, 3, 4], // push [rip + x]
            &[0xe8, 1, 2, 3],
        ];
        for other in others {
            assert!(!follows_call(other), "{other:02x?}");
        }
    }
}
