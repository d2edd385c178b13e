//! A small reader of Perfetto's format, to check what was written.
//!
//! It shares no code with the writer: it reads the bytes as the format's definition has them, and refuses what a
//! reader of it would not show (a slice that ends without a begin, an event on no track, times out of order).

use std::collections::HashMap;

/// A slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slice {
    /// The title of its track.
    pub(crate) track: String,
    /// The name of the track's process; empty when it has none.
    pub(crate) process: String,
    pub(crate) name: String,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) flow: Option<u64>,
}

/// What a trace shows.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) slices: Vec<Slice>,
    /// Track, time, name.
    pub(crate) instants: Vec<(String, u64, String)>,
}

#[derive(Default)]
struct Track {
    title: String,
    pid: Option<u64>,
    /// Begun and not ended slices: indices.
    open: Vec<usize>,
    last: u64,
}

/// Reads a trace.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, &'static str> {
    let mut decoded = Decoded::default();
    let mut tracks: HashMap<u64, Track> = HashMap::new();
    let mut processes: HashMap<u64, String> = HashMap::new();
    for packet in fields(bytes)? {
        let (1, Value::Bytes(packet)) = packet else {
            return Err("something that is no packet");
        };
        let packet = fields(packet)?;
        if number(&packet, 10).is_none_or(|sequence| sequence == 0) {
            return Err("a packet of no sequence");
        }
        if let Some(track) = inner(&packet, 60)? {
            describe(&track, &mut tracks, &mut processes)?;
        }
        if let Some(event) = inner(&packet, 11)? {
            let time = number(&packet, 8).ok_or("an event without a time")?;
            let uuid = number(&event, 11).ok_or("an event of no track")?;
            let track = tracks.get_mut(&uuid).ok_or("a track without descriptor")?;
            let name = text(&event, 23)?.unwrap_or_default();
            let process = track.pid.and_then(|pid| processes.get(&pid));
            match number(&event, 9) {
                Some(1 | 2) if time < track.last => return Err("slices out of order"),
                Some(1) => {
                    track.open.push(decoded.slices.len());
                    track.last = time;
                    decoded.slices.push(Slice {
                        track: track.title.clone(),
                        process: process.cloned().unwrap_or_default(),
                        name,
                        start: time,
                        end: u64::MAX,
                        flow: number(&event, 47),
                    });
                }
                Some(2) => {
                    let slice = track.open.pop().ok_or("an end without a begin")?;
                    decoded.slices[slice].end = time;
                    track.last = time;
                }
                Some(3) => decoded.instants.push((track.title.clone(), time, name)),
                _ => return Err("an event of an unknown type"),
            }
        }
    }
    if tracks.values().any(|track| !track.open.is_empty()) {
        return Err("a slice without an end");
    }
    decoded.slices.sort_by_key(|slice| (slice.start, slice.end));
    Ok(decoded)
}

fn describe(
    track: &[Field<'_>],
    tracks: &mut HashMap<u64, Track>,
    processes: &mut HashMap<u64, String>,
) -> Result<(), &'static str> {
    let uuid = number(track, 1).ok_or("a track without a number")?;
    let mut described = Track {
        title: text(track, 2)?.unwrap_or_default(),
        ..Track::default()
    };
    if let Some(process) = inner(track, 3)? {
        let pid = number(&process, 1).ok_or("a process without a number")?;
        processes.insert(pid, text(&process, 6)?.unwrap_or_default());
    }
    if let Some(thread) = inner(track, 4)? {
        let pid = number(&thread, 1).ok_or("a thread of no process")?;
        if !processes.contains_key(&pid) || number(&thread, 2).is_none() {
            return Err("a thread of an unknown process, or without a number");
        }
        described.pid = Some(pid);
        described.title = text(&thread, 5)?.unwrap_or_default();
    }
    match tracks.insert(uuid, described) {
        None => Ok(()),
        Some(_) => Err("two tracks of one number"),
    }
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

type Field<'a> = (u64, Value<'a>);

fn fields(mut bytes: &[u8]) -> Result<Vec<Field<'_>>, &'static str> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => {
                let (word, rest) = bytes.split_first_chunk().ok_or("a short number")?;
                bytes = rest;
                Value::Number(u64::from_le_bytes(*word))
            }
            2 => {
                let size = varint(&mut bytes)?;
                let size = usize::try_from(size).map_err(|_| "a wild size")?;
                let (part, rest) = bytes.split_at_checked(size).ok_or("a short field")?;
                bytes = rest;
                Value::Bytes(part)
            }
            _ => return Err("an unknown wire type"),
        };
        all.push((key >> 3, value));
    }
    Ok(all)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or("a number without an end")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number too long")
}

fn number(fields: &[Field<'_>], wanted: u64) -> Option<u64> {
    fields.iter().find_map(|(field, value)| match value {
        Value::Number(number) if *field == wanted => Some(*number),
        _ => None,
    })
}

fn bytes<'a>(fields: &[Field<'a>], wanted: u64) -> Option<&'a [u8]> {
    fields.iter().find_map(|(field, value)| match value {
        Value::Bytes(bytes) if *field == wanted => Some(*bytes),
        _ => None,
    })
}

fn inner<'a>(fields_of: &[Field<'a>], wanted: u64) -> Result<Option<Vec<Field<'a>>>, &'static str> {
    bytes(fields_of, wanted).map(fields).transpose()
}

fn text(fields: &[Field<'_>], wanted: u64) -> Result<Option<String>, &'static str> {
    let text = bytes(fields, wanted).map(|bytes| String::from_utf8(bytes.to_vec()));
    text.transpose().map_err(|_| "a name that is no text")
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn what_no_reader_would_show_is_refused() {
        assert!(decode(b"").is_ok());
        for (bytes, why) in [
            (&b"\x0a\x05\x08"[..], "a short field"),
            (b"\x10\x01", "something that is no packet"),
            (b"\x0a\x00", "a packet of no sequence"),
            (b"\x0a\x04\x50\x01\x5a\x00", "an event without a time"),
        ] {
            assert_eq!(decode(bytes).unwrap_err(), why);
        }
    }
}
