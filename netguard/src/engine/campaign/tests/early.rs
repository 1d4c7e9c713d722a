//! Who asked before a service began: what was said of it is taken back, and of nobody else.

use super::*;

fn targets(ports: &[u16]) -> BTreeSet<Target> {
    let target = |port: &u16| Target {
        protocol: 6,
        port: *port,
    };
    ports.iter().map(target).collect()
}

/// Found in review: clients of services that came up late were told as a probe, and what was said of them for it stayed.
#[test]
fn who_asked_before_a_service_began_means_no_harm() {
    let mut world = World::new();
    probe(&mut world, &[22, 25, 443]);
    world.seconds(25, &[]);
    world.begun = targets(&[25, 80]);
    let whole = Turn::Withdrawn {
        id: 1,
        sources: 100,
        is_whole: true,
    };
    assert_eq!(world.second(&[], &[]), [whole, Turn::Ended(1)]);
    assert_eq!(world.campaigns.cleared().len(), 100, "two ports are a service");
    let campaign = &world.campaigns.all()[0];
    assert_eq!(
        (campaign.kind(), campaign.is_going(), campaign.sources_seen),
        (CampaignKind::Probing, false, 100)
    );
    assert!(campaign.sources().is_empty() && campaign.targets.is_empty());
    assert_eq!(campaign.withdrawn, targets(&[25]));
    assert_eq!(campaign.taken_back_ns, campaign.ended_ns);
    assert_eq!(world.seconds(70, &[]), []);
    assert_eq!(
        (world.campaigns.suspects(), world.campaigns.cleared()),
        (&[][..], &[][..])
    );
    assert!(
        !world.campaigns.probing.is_empty(),
        "they asked for the others as well"
    );
}

/// Nothing is said before it was looked twice whether what they ask for is served.
#[test]
fn what_begins_within_two_sweeps_had_nobody_suspected() {
    let mut world = World::new();
    for at_s in 0..24 {
        let seen = asking_by(world.at_s, 10 * (at_s % 10), 10, &[22, 25, 443]);
        world.second(&[], &seen);
        assert_eq!(world.campaigns.suspects(), []);
    }
    assert!(world.campaigns.all()[0].is_going());
    world.begun = targets(&[22, 25, 443]);
    world.second(&[], &[]);
    assert!(world.campaigns.probing.is_empty());
    world.begun.clear();
    for _ in 0..60 {
        world.second(&[], &[]);
        assert_eq!(world.campaigns.suspects(), []);
    }
}

/// A service that begins while others are probed clears who asked for nothing else.
#[test]
fn a_probe_goes_on_beside_clients_who_came_early() {
    let mut world = World::new();
    let mut suspects = BTreeSet::new();
    for at_s in 0..40 {
        let mut seen = asking_by(world.at_s, 10 * (at_s % 10), 10, &[22, 25, 443, 3_389, 5_900]);
        seen.extend(asking_by(world.at_s, 5_000 + 4 * (at_s % 10), 4, &[443]));
        world.second(&[], &seen);
        suspects.extend(world.campaigns.suspects().iter().copied());
    }
    let asked = |port: u16| {
        asking_by(0, 0, 100, &[22, 25, 443, 3_389, 5_900])
            .into_iter()
            .filter(move |seen| seen.stratum.port == port)
    };
    let mut early: BTreeSet<Account> = asked(443).map(|seen| Account::of(seen.source)).collect();
    early.extend(
        asking_by(0, 5_000, 40, &[443])
            .iter()
            .map(|seen| Account::of(seen.source)),
    );
    assert!(
        early.len() == 60 && suspects.len() == 140,
        "{} {}",
        early.len(),
        suspects.len()
    );
    world.begun = targets(&[443]);
    let part = Turn::Withdrawn {
        id: 1,
        sources: 60,
        is_whole: false,
    };
    assert_eq!(world.second(&[], &[]), [part]);
    assert_eq!(
        BTreeSet::from_iter(world.campaigns.cleared().iter().copied()),
        early
    );
    let campaign = &world.campaigns.all()[0];
    assert!(campaign.is_going() && campaign.taken_back_ns.is_none());
    assert_eq!((campaign.sources_seen, campaign.targets.len()), (80, 4));
    for account in &early {
        assert_eq!(world.campaigns.of_source(*account).count(), 0);
    }
}

/// What is part of an attack as well stays a campaign, of attacks.
#[test]
fn attacks_stay_when_the_probing_beside_them_is_taken_back() {
    let mut world = World::new();
    probe(&mut world, &[22, 25, 443]);
    let flood = [(Class::UdpFlood, 0, 100)];
    assert_eq!(world.seconds(3, &flood), [Turn::Grown(1)]);
    world.begun = targets(&[22, 25, 443]);
    let whole = Turn::Withdrawn {
        id: 1,
        sources: 100,
        is_whole: true,
    };
    assert_eq!(world.second(&flood, &[]), [whole]);
    let campaign = &world.campaigns.all()[0];
    assert!(campaign.is_going() && campaign.taken_back_ns.is_some());
    assert_eq!(
        (campaign.kind(), campaign.sources().len()),
        (CampaignKind::Attacks, 100)
    );
}

/// Found in review: who went on probing, or came again, had nothing said of it any more, and what was said faded.
#[test]
fn who_goes_on_or_comes_again_is_told_again() {
    let mut world = World::new();
    let mut told = Vec::new();
    for at_s in 0..1_300 {
        let is_silent = (300..500).contains(&at_s);
        let seen = asking_by(world.at_s, 10 * (at_s % 10), 10, &[22, 25, 443]);
        world.second(&[], if is_silent { &[] } else { &seen });
        let first = Account::of(address(0).into());
        if world.campaigns.suspects().contains(&first) {
            told.push(at_s);
        }
    }
    assert_eq!(world.campaigns.all().len(), 1, "the same campaign");
    let [first, second, third] = told[..] else {
        panic!("{told:?}")
    };
    assert!((20..35).contains(&first), "{told:?}");
    assert!(second - first == 600 && third - second == 600, "{told:?}");
}
