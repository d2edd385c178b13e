//! The clock that all CPUs share, and each CPU's one-shot timer.
//!
//! The kernel asks for a time; the hardware is programmed only when that is earlier than what it is
//! programmed for. When it interrupts too early, it is programmed again and the kernel hears nothing. So a
//! deadline that moves back and forth on the message path costs a comparison, not a device access.

use core::sync::atomic::Ordering;

use microkernel::machine::{Cpu, NEVER, Time};
use microkernel_x86_64::acpi::Acpi;
use microkernel_x86_64::clock::{Clock, Half, Halves};

use super::cpu::features;
use super::lock;
use super::log::log;
use super::memory::Memory;
use super::percpu::{self, PerCpu};
use super::{apic, asm, ports, watchdog};

/// How long the timer's speed is measured, in ns.
const MEASURED: Time = 10_000_000;
/// The longest that the timer is set to, in ns: its counter has 32 bits.
const LONGEST: Time = 1_000_000_000;

mod hpet {
    pub(super) const CAPABILITIES: u64 = 0;
    pub(super) const CONFIGURATION: u64 = 0x10;
    pub(super) const COUNTER: u64 = 0xf0;
    pub(super) const WIDE: u32 = 1 << 13;
    pub(super) const ENABLE: u32 = 1;
    /// The longest period that the specification allows, in fs.
    pub(super) const SLOWEST: u64 = 100_000_000;
}

enum Counter {
    None,
    /// Of 64 bits, mapped at this address.
    Hpet(u64, Halves),
    /// Of 32 bits, mapped at this address.
    NarrowHpet(u64),
    /// This port.
    AcpiTimer(u16),
}

/// The clock, and how fast the other counters run beside it.
pub(crate) struct Clocks {
    counter: Counter,
    clock: Clock,
    /// Timer ticks in 2^20 ns.
    ticks: u64,
    /// Time stamps in 2^20 ns.
    stamps: u64,
    /// When the run counts as hanging; [`NEVER`] when nobody asked.
    watchdog: Time,
}

impl Counter {
    fn read(&mut self) -> u64 {
        match self {
            Self::None => 0,
            Self::Hpet(base, halves) => halves.read(|half| match half {
                Half::Low => hpet_read(*base, hpet::COUNTER),
                Half::High => hpet_read(*base, hpet::COUNTER + 4),
            }),
            Self::NarrowHpet(base) => u64::from(hpet_read(*base, hpet::COUNTER)),
            Self::AcpiTimer(port) => u64::from(ports::read(*port, 4)),
        }
    }
}

/// Half of a register: what one access does not split.
fn hpet_read(base: u64, half: u64) -> u32 {
    // SAFETY: the registers' page is mapped for ever; reading one changes no memory.
    unsafe { (base.wrapping_add(half) as *const u32).read_volatile() }
}

impl Clocks {
    /// No clock.
    pub(crate) const fn new() -> Self {
        Self {
            counter: Counter::None,
            clock: Clock::STANDING,
            ticks: 0,
            stamps: 0,
            watchdog: NEVER,
        }
    }

    /// Finds a counter and starts the clock at 0.
    ///
    /// # Errors
    /// The machine has none that is known.
    pub(crate) fn set_up(&mut self, acpi: &Acpi, memory: &mut Memory) -> Result<(), &'static str> {
        let hpet = acpi
            .hpet
            .and_then(|address| start_hpet(memory.map_device(address).ok()?));
        (self.counter, self.clock) = match (hpet, acpi.timer) {
            (Some(found), _) => found,
            (None, Some((port, width))) => {
                let mut counter = Counter::AcpiTimer(port);
                let clock = Clock::acpi(width, counter.read());
                (counter, clock)
            }
            (None, None) => return Err("neither HPET nor ACPI timer: no clock"),
        };
        Ok(())
    }

    /// Measures timer and time stamp counter. The APIC is set up.
    pub(crate) fn measure(&mut self) {
        apic::start_measuring();
        let (start, stamp) = (self.now(), asm::time_stamp());
        while self.now() < start + MEASURED {
            core::hint::spin_loop();
        }
        let (ticks, stamps) = (u64::from(apic::timer_passed()), asm::time_stamp() - stamp);
        let passed = self.now() - start;
        self.ticks = (ticks << 20) / passed;
        self.stamps = (stamps << 20) / passed;
        if self.wraps() {
            // It must be read now and then even if the kernel never wants a timer.
            self.start_timer(percpu::this(), NEVER);
        }
        let name = match self.counter {
            Counter::Hpet(..) | Counter::NarrowHpet(_) => "HPET",
            Counter::AcpiTimer(_) | Counter::None => "ACPI timer",
        };
        log!(
            "kernel: clock {name}, timer {} MHz",
            (self.ticks * 1000) >> 20
        );
    }

    /// Has the first CPU, whose area this is, end the run when it takes longer than this.
    pub(crate) fn set_watchdog(&mut self, area: &PerCpu, seconds: u32) {
        self.watchdog = Time::from(seconds) * 1_000_000_000;
        area.deadline.fetch_min(self.watchdog, Ordering::Relaxed);
        self.program(area);
    }

    /// The latest deadline that a CPU may have: the first one wakes in time for the watchdog.
    pub(crate) fn latest(&self, cpu: Cpu) -> Time {
        if cpu == Cpu(0) { self.watchdog } else { NEVER }
    }

    /// Whether the run takes too long.
    fn is_over(&mut self) -> bool {
        self.watchdog != NEVER && self.now() >= self.watchdog
    }

    /// Nanoseconds since boot.
    pub(crate) fn now(&mut self) -> Time {
        let counter = self.counter.read();
        self.clock.at(counter)
    }

    /// Whether the counter wraps in a time that a machine may idle.
    fn wraps(&self) -> bool {
        self.clock.patience() < NEVER
    }

    /// Waits until something is so, or a time is over; answers whether it is so.
    pub(crate) fn wait(&mut self, patience: Time, is_so: impl Fn() -> bool) -> bool {
        let end = self.now() + patience;
        while !is_so() {
            if self.now() >= end {
                return false;
            }
            core::hint::spin_loop();
        }
        true
    }

    /// Makes this CPU's timer interrupt at a time, or earlier.
    fn start_timer(&mut self, area: &PerCpu, deadline: Time) {
        let longest = self.clock.patience().min(LONGEST);
        let now = self.now();
        let delay = deadline.saturating_sub(now).min(longest);
        area.programmed.set(now.saturating_add(delay));
        if features().tsc_deadline {
            apic::start_deadline(asm::time_stamp() + ((delay * self.stamps) >> 20));
        } else {
            apic::start_timer(((delay * self.ticks) >> 20) as u32);
        }
    }

    /// Sees to it that this CPU's timer interrupts no later than its deadline.
    pub(crate) fn program(&mut self, area: &PerCpu) {
        let deadline = area.deadline.load(Ordering::Relaxed);
        if deadline < area.programmed.get() {
            self.start_timer(area, deadline);
        }
    }

    /// The timer interrupted: whether the deadline has come. If not, the timer is started again.
    fn is_due(&mut self, area: &PerCpu) -> bool {
        area.programmed.set(NEVER);
        let deadline = area.deadline.load(Ordering::Relaxed);
        let wraps = self.wraps();
        if deadline <= self.now() {
            let latest = self.latest(area.cpu());
            area.deadline.store(latest, Ordering::Relaxed);
            if latest != NEVER || wraps {
                self.start_timer(area, latest);
            }
            return true;
        }
        if deadline != NEVER || wraps {
            self.start_timer(area, deadline);
        }
        false
    }
}

fn start_hpet(base: u64) -> Option<(Counter, Clock)> {
    let capabilities = hpet_read(base, hpet::CAPABILITIES);
    let period = u64::from(hpet_read(base, hpet::CAPABILITIES + 4));
    if period == 0 || period > hpet::SLOWEST {
        return None;
    }
    let configuration = hpet_read(base, hpet::CONFIGURATION);
    let register = (base + hpet::CONFIGURATION) as *mut u32;
    // SAFETY: as in `hpet_read`; starting the counter changes no memory, and its timers are off.
    unsafe { register.write_volatile(configuration | hpet::ENABLE) };
    let (bits, mut counter) = if capabilities & hpet::WIDE != 0 {
        (64, Counter::Hpet(base, Halves::default()))
    } else {
        (32, Counter::NarrowHpet(base))
    };
    let clock = Clock::new(bits, period, counter.read());
    Some((counter, clock))
}

/// See [`Clocks::program`].
pub(crate) fn program(area: &PerCpu) {
    lock::take().machine.time.program(area);
}

/// See [`Clocks::is_due`]. The run ends here when the watchdog's time has come.
pub(crate) fn is_due(area: &PerCpu) -> bool {
    let mut kernel = lock::take();
    if kernel.machine.time.is_over() {
        watchdog::end_run(&mut kernel);
    }
    kernel.machine.time.is_due(area)
}
