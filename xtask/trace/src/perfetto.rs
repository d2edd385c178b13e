//! Perfetto's native trace format, as far as it is needed: a sequence of protobuf packets.
//!
//! Field numbers are those of `protos/perfetto/trace` in Perfetto's repository, which keeps them for ever:
//! `trace.proto`, `trace_packet.proto`, `track_event/track_event.proto` and `track_event/track_descriptor.proto`.
//! Deliberately absent: interning, delta-coded times, everything else that makes traces smaller.

/// `TracePacket`s of one writer are one sequence; it must have a number other than 0.
const SEQUENCE: u64 = 1;

mod packet {
    pub(super) const IN_TRACE: u32 = 1;
    pub(super) const TIMESTAMP: u32 = 8;
    pub(super) const SEQUENCE_ID: u32 = 10;
    pub(super) const TRACK_EVENT: u32 = 11;
    pub(super) const TRACK_DESCRIPTOR: u32 = 60;
}

mod descriptor {
    pub(super) const UUID: u32 = 1;
    pub(super) const NAME: u32 = 2;
    pub(super) const PROCESS: u32 = 3;
    pub(super) const THREAD: u32 = 4;
    pub(super) const PARENT_UUID: u32 = 5;
    pub(super) const PROCESS_PID: u32 = 1;
    pub(super) const PROCESS_NAME: u32 = 6;
    pub(super) const THREAD_PID: u32 = 1;
    pub(super) const THREAD_TID: u32 = 2;
    pub(super) const THREAD_NAME: u32 = 5;
}

mod event {
    pub(super) const TYPE: u32 = 9;
    pub(super) const TRACK_UUID: u32 = 11;
    pub(super) const NAME: u32 = 23;
    pub(super) const FLOW_IDS: u32 = 47;
    pub(super) const SLICE_BEGIN: u64 = 1;
    pub(super) const SLICE_END: u64 = 2;
    pub(super) const INSTANT: u64 = 3;
}

/// What lies on a track at a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// A slice begins. Slices with the same flow are joined by an arrow.
    Begin { name: String, flow: Option<u64> },
    /// The innermost open slice ends.
    End,
    /// Something happened.
    Instant { name: String },
}

/// A trace that is being written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A process, and the number of its track.
    pub(super) fn process(&mut self, uuid: u64, pid: u64, name: &str) {
        let process = Message::default()
            .number(descriptor::PROCESS_PID, pid)
            .text(descriptor::PROCESS_NAME, name);
        let track = Message::default()
            .number(descriptor::UUID, uuid)
            .message(descriptor::PROCESS, &process);
        self.descriptor(&track);
    }

    /// A thread of a process, and the number of its track.
    pub(super) fn thread(&mut self, uuid: u64, (pid, tid): (u64, u64), name: &str) {
        let thread = Message::default()
            .number(descriptor::THREAD_PID, pid)
            .number(descriptor::THREAD_TID, tid)
            .text(descriptor::THREAD_NAME, name);
        let track = Message::default()
            .number(descriptor::UUID, uuid)
            .message(descriptor::THREAD, &thread);
        self.descriptor(&track);
    }

    /// A track of its own, or below another one.
    pub(super) fn track(&mut self, uuid: u64, parent: Option<u64>, name: &str) {
        let mut track = Message::default()
            .number(descriptor::UUID, uuid)
            .text(descriptor::NAME, name);
        if let Some(parent) = parent {
            track = track.number(descriptor::PARENT_UUID, parent);
        }
        self.descriptor(&track);
    }

    /// Something on a track, at a time in ns. The marks of one track come in the order of their times.
    pub(super) fn mark(&mut self, time: u64, track: u64, mark: &Mark) {
        let event = Message::default().number(event::TRACK_UUID, track);
        let event = match mark {
            Mark::Begin { name, flow } => {
                let event = event
                    .number(event::TYPE, event::SLICE_BEGIN)
                    .text(event::NAME, name);
                match flow {
                    Some(flow) => event.fixed(event::FLOW_IDS, *flow),
                    None => event,
                }
            }
            Mark::End => event.number(event::TYPE, event::SLICE_END),
            Mark::Instant { name } => event
                .number(event::TYPE, event::INSTANT)
                .text(event::NAME, name),
        };
        let packet = Message::default()
            .number(packet::TIMESTAMP, time)
            .number(packet::SEQUENCE_ID, SEQUENCE)
            .message(packet::TRACK_EVENT, &event);
        self.packet(&packet);
    }

    /// The file's content.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn descriptor(&mut self, track: &Message) {
        let packet = Message::default()
            .number(packet::SEQUENCE_ID, SEQUENCE)
            .message(packet::TRACK_DESCRIPTOR, track);
        self.packet(&packet);
    }

    fn packet(&mut self, packet: &Message) {
        let trace = Message::default().message(packet::IN_TRACE, packet);
        self.0.extend(trace.0);
    }
}

/// A protobuf message, encoded field by field.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

/// Wire types of the protobuf encoding.
const VARINT: u32 = 0;
const FIXED: u32 = 1;
const BYTES: u32 = 2;

impl Message {
    fn number(mut self, field: u32, value: u64) -> Self {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    fn fixed(mut self, field: u32, value: u64) -> Self {
        self.key(field, FIXED);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u32, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_protobuf_has_them() {
        // The examples of the encoding's documentation: field 1 is 150, field 2 is "testing".
        let message = Message::default().number(1, 150).text(2, "testing");
        assert_eq!(message.0, b"\x08\x96\x01\x12\x07testing");
        let message = Message::default().fixed(47, 1).number(60, u64::MAX);
        let expected =
            b"\xf9\x02\x01\0\0\0\0\0\0\0\xe0\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(message.0, expected);
    }
}
