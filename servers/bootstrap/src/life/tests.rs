use super::*;

const MS: u64 = 1_000_000;

fn policy(start: Start) -> Policy {
    Policy {
        start,
        restart: Restart::Always,
        heartbeat: None,
        serves: true,
    }
}

/// A life that was started at `now`, and checked in.
fn running(policy: Policy, now: u64) -> Life {
    let mut life = Life::new("echo", policy);
    assert_eq!(life.start(), Ok(Order::Start));
    life.launched(now, 5);
    life.checked_in(now);
    assert_eq!(life.info().state, State::Running);
    assert_eq!(life.info().task, 5);
    life
}

fn relaunch(life: &mut Life, now: u64) {
    life.launched(now, 6);
    life.checked_in(now);
}

#[test]
fn boot_starts_some_and_watches_for_the_others() {
    let order = |start| Life::new("a", policy(start)).boot();
    assert_eq!(order(Start::Boot), Order::Start);
    assert_eq!(order(Start::Demand), Order::Watch);
    assert_eq!(order(Start::Request), Order::Nothing);
}

#[test]
fn demand_starts_an_idle_life_once() {
    let mut life = Life::new("a", policy(Start::Demand));
    assert_eq!(life.wanted(), Order::Start);
    assert_eq!(life.wanted(), Order::Nothing, "it starts already");
    life.launched(1, 1);
    assert_eq!(life.info().state, State::Starting, "until it checks in");
    assert_eq!(life.wanted(), Order::Nothing);
    assert_eq!(life.info().restarts, 0);
}

#[test]
fn without_services_there_is_nothing_to_check_in() {
    let mut serves_nothing = policy(Start::Boot);
    serves_nothing.serves = false;
    let mut life = Life::new("a", serves_nothing);
    assert_eq!(life.boot(), Order::Start);
    life.launched(1, 1);
    assert_eq!(life.info().state, State::Running);
}

#[test]
fn back_off_doubles_from_10_ms_and_the_eighth_death_is_the_last() {
    let mut life = running(policy(Start::Boot), 0);
    let mut now = 0;
    for wait in [10, 20, 40, 80, 160, 320, 640] {
        now += 5 * MS;
        assert_eq!(life.condemn(Cause::Exception, "boom"), Order::End);
        assert_eq!(life.gone(now), Order::Nothing);
        assert_eq!(life.info().state, State::Waiting);
        assert_eq!(life.due(), Some(now + wait * MS));
        assert_eq!(life.tick(now + wait * MS - 1), Order::Nothing);
        now += wait * MS;
        assert_eq!(life.tick(now), Order::Start);
        assert_eq!(life.due(), None);
        relaunch(&mut life, now);
    }
    assert_eq!(life.info().restarts, 7);
    assert_eq!(life.gone(now + 1), Order::Refuse);
    let info = *life.info();
    assert_eq!(info.state, State::Failed);
    assert_eq!(info.deaths_in_row, 8);
    assert_eq!(info.cause, Cause::Exit);
    assert_eq!(
        &*info.reason,
        "died 8 times in a row, last: ended by itself with status 0"
    );
    assert_eq!(life.due(), None, "it is not started again by itself");
    assert_eq!(life.wanted(), Order::Nothing, "nor on demand");
    assert_eq!(life.at_rest(), Order::Refuse);
    assert_eq!(life.start(), Ok(Order::Start), "but by order");
    assert_eq!(life.info().deaths_in_row, 0);
}

#[test]
fn back_off_never_exceeds_one_second() {
    let longest = (0..MAX_DEATHS - 1).map(|n| (FIRST_BACK_OFF << n).min(LONGEST_BACK_OFF));
    assert_eq!(longest.max(), Some(640 * MS));
    const { assert!(FIRST_BACK_OFF << (MAX_DEATHS - 1) > LONGEST_BACK_OFF) };
}

#[test]
fn a_second_of_health_makes_deaths_before_not_count() {
    let mut life = running(policy(Start::Boot), 0);
    assert_eq!(life.gone(0), Order::Nothing);
    assert_eq!(life.tick(10 * MS), Order::Start);
    relaunch(&mut life, 10 * MS);
    let mut twin = life.clone();
    assert_eq!(twin.gone(10 * MS + HEALTH - 1), Order::Nothing);
    assert_eq!(twin.info().deaths_in_row, 2);
    let now = 10 * MS + HEALTH;
    assert_eq!(life.gone(now), Order::Nothing);
    assert_eq!(life.info().deaths_in_row, 1);
    assert_eq!(life.due(), Some(now + FIRST_BACK_OFF));
}

#[test]
fn time_without_checking_in_is_no_health() {
    let mut life = Life::new("a", policy(Start::Boot));
    for death in 1..=MAX_DEATHS {
        assert_eq!(life.restart_for_test(), Order::Start);
        life.launched(0, 1);
        let order = life.gone(10 * HEALTH);
        assert_eq!(order == Order::Refuse, death == MAX_DEATHS);
    }
}

impl Life {
    /// The next start, whatever it waits for.
    fn restart_for_test(&mut self) -> Order {
        match self.info.state {
            State::Waiting => self.tick(u64::MAX),
            _ => self.wanted(),
        }
    }
}

#[test]
fn a_heartbeat_is_no_health() {
    let mut life = running(policy(Start::Boot), 0);
    for death in 1..=MAX_DEATHS {
        life.alive(0);
        let order = life.gone(0);
        assert_eq!(order == Order::Refuse, death == MAX_DEATHS);
        if life.tick(u64::MAX) == Order::Start {
            relaunch(&mut life, 0);
        }
    }
    assert_eq!(life.info().state, State::Failed);
}

#[test]
fn a_kill_restarts_at_once_and_never_counts() {
    let mut life = running(policy(Start::Boot), 0);
    for kill in 0..1000 {
        assert_eq!(life.kill(), Ok(Order::End));
        assert_eq!(life.gone(kill), Order::Start);
        relaunch(&mut life, kill);
    }
    assert_eq!(life.info().deaths_in_row, 0);
    assert_eq!(life.info().restarts, 1000);
    assert_eq!(life.info().cause, Cause::Order);
}

#[test]
fn a_kill_without_a_task_is_refused() {
    let mut life = Life::new("a", policy(Start::Demand));
    assert_eq!(life.kill(), Err(Refusal::NotRunning));
    let mut life = running(policy(Start::Demand), 0);
    assert_eq!(life.gone(0), Order::Nothing);
    assert_eq!(life.kill(), Err(Refusal::NotRunning));
}

#[test]
fn an_order_goes_before_what_a_detector_saw() {
    let mut life = running(policy(Start::Boot), 0);
    assert_eq!(life.condemn(Cause::Protocol, "lies"), Order::End);
    assert_eq!(life.condemn(Cause::Exception, "late"), Order::Nothing);
    assert_eq!(life.stop(), Ok(Order::End));
    assert_eq!(life.condemn(Cause::Exception, "later"), Order::Nothing);
    assert_eq!(life.gone(1), Order::Nothing);
    assert_eq!(life.info().state, State::Stopped);
    assert_eq!(life.info().cause, Cause::Order);
    assert_eq!(life.wanted(), Order::Nothing, "stopped is stopped");
    assert_eq!(life.stop(), Err(Refusal::NotRunning));
    assert_eq!(life.start(), Ok(Order::Start));
}

#[test]
fn the_first_detector_is_the_one_reported() {
    let mut life = running(policy(Start::Boot), 0);
    assert_eq!(life.condemn(Cause::Exception, "EXC_BAD_ACCESS"), Order::End);
    assert_eq!(life.condemn(Cause::Protocol, "lies"), Order::Nothing);
    assert_eq!(life.gone(9), Order::Nothing);
    let info = life.info();
    assert_eq!((info.cause, info.died), (Cause::Exception, 9));
    assert_eq!(&*info.reason, "EXC_BAD_ACCESS");
}

#[test]
fn silence_for_two_heartbeats_is_death() {
    let mut beating = policy(Start::Boot);
    beating.heartbeat = Some(100 * MS);
    let mut life = running(beating, 0);
    assert_eq!(life.due(), Some(200 * MS));
    life.alive(150 * MS);
    assert_eq!(life.tick(200 * MS), Order::Nothing);
    assert_eq!(life.due(), Some(350 * MS));
    assert_eq!(life.tick(350 * MS), Order::End);
    assert_eq!(life.due(), None, "it is dying");
    assert_eq!(life.gone(351 * MS), Order::Nothing);
    assert_eq!(life.info().cause, Cause::Silence);
    assert_eq!(&*life.info().reason, "silent for two heartbeats of 100 ms");
}

#[test]
fn the_restart_policy_is_kept() {
    let with = |restart| Policy {
        restart,
        ..policy(Start::Demand)
    };
    let end = |restart, status| {
        let mut life = running(with(restart), 0);
        life.exiting(status);
        let order = life.gone(1);
        (order, life.info().state)
    };
    let nothing = Order::Nothing;
    assert_eq!(end(Restart::Always, 0), (nothing, State::Waiting));
    assert_eq!(end(Restart::OnFailure, 0), (Order::Watch, State::Idle));
    assert_eq!(end(Restart::OnFailure, 3), (nothing, State::Waiting));
    assert_eq!(end(Restart::Never, 3), (nothing, State::Stopped));
    let mut life = running(with(Restart::Never), 0);
    assert_eq!(life.condemn(Cause::Exception, "boom"), Order::End);
    assert_eq!(life.gone(1), nothing);
    assert_eq!(life.info().state, State::Stopped);
    let mut life = running(with(Restart::Never), 0);
    assert_eq!(life.kill(), Ok(Order::End));
    assert_eq!(life.gone(1), Order::Start, "a kill is no death");
}

#[test]
fn a_status_is_that_of_its_own_life() {
    let mut life = running(policy(Start::Boot), 0);
    life.exiting(7);
    assert_eq!(life.kill(), Ok(Order::End));
    assert_eq!(life.gone(0), Order::Start);
    relaunch(&mut life, 0);
    assert_eq!(life.gone(0), Order::Nothing);
    assert_eq!(&*life.info().reason, "ended by itself with status 0");
}

#[test]
fn what_cannot_be_loaded_fails_at_once_and_what_was_unlucky_is_tried_again() {
    let mut life = Life::new("a", policy(Start::Boot));
    assert_eq!(life.boot(), Order::Start);
    assert_eq!(life.unlucky(0, "no memory"), Order::Nothing);
    assert_eq!(life.info().state, State::Waiting);
    assert_eq!(life.tick(10 * MS), Order::Start);
    assert_eq!(life.fail("it is no ELF64 file"), Order::Refuse);
    assert_eq!(life.info().state, State::Failed);
    assert_eq!(&*life.info().reason, "it is no ELF64 file");
    assert_eq!(life.stop(), Ok(Order::Nothing));
    assert_eq!(life.info().state, State::Stopped);
}

#[test]
fn a_long_reason_is_cut_and_never_lost() {
    let mut life = running(policy(Start::Boot), 0);
    let long = "ä".repeat(100);
    for _ in 0..MAX_DEATHS {
        life.condemn(Cause::Exception, &long).is_end();
        life.gone(0).is_end();
        if life.tick(u64::MAX) == Order::Start {
            relaunch(&mut life, 0);
        }
    }
    let reason = life.info().reason;
    assert!(
        reason.starts_with("died 8 times in a row, last: ää"),
        "{reason}"
    );
    assert!(reason.len() > 110);
}

impl Order {
    /// Uses an order that the test does not look at.
    fn is_end(self) -> bool {
        self == Self::End
    }
}
