//! From records to a picture: a track for each CPU and each thread, a slice for each call at both its ends.
//!
//! A client's slice lasts from its request to its answer, a server's from the request's arrival to the answer's
//! departure; both have one flow. Numbers of threads and tasks are used again: each birth begins a new track.

use super::lanes::{Edge, Slice, lay};
use super::perfetto::{Mark, Writer};
use super::report::{Event, Report, Role};
use abi::trace::{Kind, NONE};
use abi::transport::REPLY_OFFSET;
use std::collections::{BTreeMap, HashMap};

/// One life of a thread, by the order of births.
type Life = usize;

/// A request whose answer is awaited, or owed.
struct Open {
    id: i32,
    start: u64,
    flow: u64,
}

/// A thread's track.
#[derive(Default)]
struct Track {
    thread: u32,
    task: u32,
    /// What its task is called.
    name: String,
    calls: Vec<Open>,
    served: Vec<Open>,
    slices: Vec<Slice>,
    instants: Vec<(u64, String)>,
}

/// A CPU's track.
#[derive(Default)]
struct Processor {
    running: Option<(Life, u64)>,
    slices: Vec<Slice>,
    instants: Vec<(u64, String)>,
}

/// The picture while it is drawn.
struct Timeline<'a> {
    report: &'a Report,
    names: BTreeMap<u32, String>,
    lives: HashMap<u32, Life>,
    tracks: Vec<Track>,
    processors: BTreeMap<u32, Processor>,
    /// Flows of queued messages, by their numbers.
    queued: HashMap<u64, u64>,
    flows: u64,
}

/// How much a trace shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Its events.
    pub events: usize,
    /// Its calls, answered or not.
    pub calls: usize,
}

/// Writes a report as a trace file.
pub fn draw(report: &Report) -> (Vec<u8>, Size) {
    let mut timeline = Timeline {
        report,
        names: report.tasks.clone(),
        lives: HashMap::new(),
        tracks: Vec::new(),
        processors: BTreeMap::new(),
        queued: HashMap::new(),
        flows: 0,
    };
    for (thread, task) in &report.threads {
        timeline.begin_life(*thread, *task);
    }
    for event in &report.events {
        timeline.take(event);
    }
    let calls = usize::try_from(timeline.flows).unwrap_or(usize::MAX);
    let end = report.events.last().map_or(0, |event| event.time);
    timeline.close(end);
    let size = Size {
        events: report.events.len(),
        calls,
    };
    (timeline.write(), size)
}

impl Timeline<'_> {
    fn begin_life(&mut self, thread: u32, task: u32) -> Life {
        let name = match self.names.get(&task) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("task {task}"),
        };
        self.tracks.push(Track {
            thread,
            task,
            name,
            ..Track::default()
        });
        self.lives.insert(thread, self.tracks.len() - 1);
        self.tracks.len() - 1
    }

    fn life(&mut self, thread: u32) -> Life {
        match self.lives.get(&thread) {
            Some(life) => *life,
            // Its birth was overwritten.
            None => self.begin_life(thread, u32::MAX),
        }
    }

    fn title(&self, life: Life) -> String {
        let track = &self.tracks[life];
        format!("{}/{}", track.name, track.thread)
    }

    fn role(&self, id: i32) -> Option<Role> {
        self.report.messages.get(&id).map(|(role, _)| *role)
    }

    fn message(&self, id: i32) -> String {
        let known = self.report.messages.get(&id);
        known.map_or_else(|| format!("message {id}"), |(_, name)| name.clone())
    }

    fn take(&mut self, event: &Event) {
        let (low, high) = (event.a as u32, (event.a >> 32) as u32);
        let (id, time) = (event.b as u32 as i32, event.time);
        self.run_begins(event);
        match event.kind {
            Kind::TaskCreate => drop(self.names.insert(low, String::new())),
            Kind::TaskName => drop(self.names.insert(low, task_name(event))),
            Kind::ThreadCreate => drop(self.begin_life(low, event.b as u32)),
            Kind::Handoff => {
                let flow = self.sends(event.thread, id, time);
                self.receives(low, (id, flow), time);
                self.runs(event.cpu, Some(low), time);
            }
            Kind::Queue => {
                if let Some(flow) = self.sends(event.thread, id, time) {
                    self.queued.insert(event.b, flow);
                }
            }
            Kind::Receive => {
                // What was never queued has no number of its own: it comes straight from the thread that runs.
                let straight = event.b >> 32 == NONE && event.thread != high;
                let flow = match straight {
                    true => self.sends(event.thread, id, time),
                    false => self.queued.remove(&event.b),
                };
                self.receives(high, (id, flow), time);
            }
            Kind::KernelCall => drop(self.sends(event.thread, id, time)),
            Kind::Switch => self.runs(event.cpu, Some(low), time),
            Kind::Block => self.runs(event.cpu, None, time),
            Kind::Wake => {
                let life = self.life(low);
                self.tracks[life].instants.push((time, "woken".to_owned()));
            }
            Kind::Fault => self.happens(event, format!("page fault at {:#x}", event.a)),
            Kind::Exception => {
                let name = abi::exception::name(low);
                self.happens(event, format!("{name}, code {:#x}", event.b));
            }
            Kind::Interrupt => {
                let processor = self.processors.entry(event.cpu).or_default();
                processor.instants.push((time, format!("interrupt {low}")));
            }
            Kind::Timer if event.a == NONE => {
                let processor = self.processors.entry(event.cpu).or_default();
                processor.instants.push((time, "timer".to_owned()));
            }
            Kind::TaskTerminate => {
                let name = self.names.get(&low).cloned().unwrap_or_default();
                self.happens(event, format!("ends task {low} {name}"));
            }
            Kind::Timer
            | Kind::Empty
            | Kind::Trap
            | Kind::PortDeath
            | Kind::Mark
            | Kind::ThreadTerminate => {}
        }
    }

    /// Something that the current thread did.
    fn happens(&mut self, event: &Event, what: String) {
        if event.thread != u32::MAX {
            let life = self.life(event.thread);
            self.tracks[life].instants.push((event.time, what));
        }
    }

    /// A CPU of which nothing is known yet runs whom its first event names.
    fn run_begins(&mut self, event: &Event) {
        if event.thread != u32::MAX && !self.processors.contains_key(&event.cpu) {
            self.runs(event.cpu, Some(event.thread), event.time);
        }
    }

    /// A CPU runs another thread, or nobody.
    fn runs(&mut self, cpu: u32, thread: Option<u32>, time: u64) {
        let next = thread.map(|thread| (self.life(thread), time));
        let processor = self.processors.entry(cpu).or_default();
        let before = std::mem::replace(&mut processor.running, next);
        if let Some((life, start)) = before {
            let slice = Slice {
                start,
                end: time,
                name: self.title(life),
                flow: None,
            };
            self.processors.entry(cpu).or_default().slices.push(slice);
        }
    }

    /// A thread sends a request, whose flow is answered, or a reply.
    fn sends(&mut self, thread: u32, id: i32, time: u64) -> Option<u64> {
        let life = self.life(thread);
        match self.role(id)? {
            Role::Request => {
                self.flows += 1;
                let flow = self.flows;
                let open = Open {
                    id,
                    start: time,
                    flow,
                };
                self.tracks[life].calls.push(open);
                Some(flow)
            }
            Role::Reply => {
                let request = id.wrapping_sub(REPLY_OFFSET);
                let name = format!("serves {}", self.message(id));
                let track = &mut self.tracks[life];
                let slice = end(&mut track.served, request, name, time);
                track.slices.extend(slice);
                None
            }
            Role::Notice => None,
        }
    }

    /// A request or a reply arrives at a thread.
    fn receives(&mut self, thread: u32, (id, flow): (i32, Option<u64>), time: u64) {
        let life = self.life(thread);
        let name = self.message(id);
        let role = self.role(id);
        let track = &mut self.tracks[life];
        match (role, flow) {
            (Some(Role::Request), Some(flow)) => track.served.push(Open {
                id,
                start: time,
                flow,
            }),
            (Some(Role::Reply), _) => {
                let request = id.wrapping_sub(REPLY_OFFSET);
                let slice = end(&mut track.calls, request, name, time);
                track.slices.extend(slice);
            }
            (Some(Role::Notice), _) => track.instants.push((time, name)),
            _ => {}
        }
    }

    /// What is open ends with the trace.
    fn close(&mut self, time: u64) {
        let cpus: Vec<u32> = self.processors.keys().copied().collect();
        for cpu in cpus {
            self.runs(cpu, None, time);
        }
        for life in 0..self.tracks.len() {
            for open in std::mem::take(&mut self.tracks[life].calls) {
                // A message without an answer has none to wait for.
                let name = format!("{} (no answer yet)", self.message(open.id));
                self.tracks[life].slices.push(open.slice(name, time));
            }
            for open in std::mem::take(&mut self.tracks[life].served) {
                let name = format!("serves {}", self.message(open.id));
                self.tracks[life].slices.push(open.slice(name, time));
            }
        }
    }

    fn write(mut self) -> Vec<u8> {
        let mut writer = Writer::default();
        let mut uuids = 0;
        let mut next = || {
            uuids += 1;
            uuids
        };
        for (cpu, processor) in &mut self.processors {
            let uuid = next();
            writer.track(uuid, None, &format!("CPU {cpu}"));
            marks(&mut writer, uuid, &mut processor.instants);
            for lane in lay(&mut processor.slices) {
                slices(&mut writer, uuid, &processor.slices, &lane);
            }
        }
        let mut processes: HashMap<(u32, String), u64> = HashMap::new();
        for (life, track) in self.tracks.iter_mut().enumerate() {
            if track.slices.is_empty() && track.instants.is_empty() {
                continue;
            }
            let count = processes.len() as u64;
            let key = (track.task, track.name.clone());
            // A process or thread of number 0 would be taken for an idle CPU's.
            let pid = *processes.entry(key).or_insert_with(|| {
                let pid = count + 1;
                writer.process(
                    next(),
                    pid,
                    &format!("{} (task {})", track.name, track.task),
                );
                pid
            });
            let (uuid, tid) = (next(), 1_000_000 + life as u64);
            let title = format!("{}/{}", track.name, track.thread);
            writer.thread(uuid, (pid, tid), &title);
            marks(&mut writer, uuid, &mut track.instants);
            for (number, lane) in lay(&mut track.slices).iter().enumerate() {
                let place = match number {
                    0 => uuid,
                    _ => {
                        let further = next();
                        writer.track(further, Some(uuid), &title);
                        further
                    }
                };
                slices(&mut writer, place, &track.slices, lane);
            }
        }
        writer.finish()
    }
}

impl Open {
    fn slice(&self, name: String, end: u64) -> Slice {
        Slice {
            start: self.start,
            end,
            name,
            flow: Some(self.flow),
        }
    }
}

/// Ends the oldest open request of this id.
fn end(open: &mut Vec<Open>, id: i32, name: String, time: u64) -> Option<Slice> {
    let at = open.iter().position(|open| open.id == id)?;
    Some(open.remove(at).slice(name, time))
}

fn marks(writer: &mut Writer, track: u64, instants: &mut Vec<(u64, String)>) {
    for (time, name) in instants.drain(..) {
        writer.mark(time, track, &Mark::Instant { name });
    }
}

fn slices(writer: &mut Writer, track: u64, slices: &[Slice], lane: &[(u64, Edge)]) {
    for (time, edge) in lane {
        let mark = match edge {
            Edge::Begin(index) => Mark::Begin {
                name: slices[*index].name.clone(),
                flow: slices[*index].flow,
            },
            Edge::End => Mark::End,
        };
        writer.mark(*time, track, &mark);
    }
}

/// The twelve bytes of a task's name that a record holds.
fn task_name(event: &Event) -> String {
    let mut bytes = event.b.to_le_bytes().to_vec();
    bytes.extend(((event.a >> 32) as u32).to_le_bytes());
    bytes.retain(|byte| *byte != 0);
    String::from_utf8_lossy(&bytes).into_owned()
}
