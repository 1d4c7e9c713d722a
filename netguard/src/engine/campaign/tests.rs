//! Campaigns as attacks and packets come, a second at a time. What links two, and who probes, their own tests say.

mod early;

use std::{collections::HashSet, net::Ipv4Addr};

use netguard_common::{Verdict, layout::Sample, packet::mapped, telemetry::Kind};

use super::*;
use crate::engine::{
    Tracker,
    campaign::attempt::tests::asking,
    detect::{Class, Suspicion},
    feature::tests::second,
    observe,
    response::{Mode, Responder, ResponseSettings},
    seen::Seen,
    window::tests::sample,
};

/// A tracker, and the campaigns that follow it, a second at a time.
struct World {
    tracker: Tracker,
    campaigns: Campaigns,
    responder: Responder,
    connected: HashSet<Account>,
    begun: BTreeSet<Target>,
    at_s: u64,
    /// Packets that pass in a second beside those that are looked at.
    passing: u64,
}

/// A flood of `class` by so many sources from this number on.
type Flooded = (Class, u32, u32);

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x1400_0000 + number * 4_096 * 7)
}

fn from(number: u32, verdict: Verdict) -> Sample {
    Sample {
        source: mapped(address(number).octets()),
        ..sample([0; 4], verdict, 100)
    }
}

impl World {
    fn new() -> Self {
        let settings = ResponseSettings::all(Mode::Off);
        Self {
            tracker: Tracker::default(),
            campaigns: Campaigns::default(),
            responder: Responder::new(settings, 0),
            connected: HashSet::new(),
            begun: BTreeSet::new(),
            at_s: 10_000,
            passing: 0,
        }
    }

    /// The next second, in which those attack and these packets are seen.
    fn second(&mut self, floods: &[Flooded], seen: &[Seen]) -> Vec<Turn> {
        self.at_s += 1;
        let mut features = second(&[(Kind::Udp, 9_000)], &[]);
        features.at_ns = self.at_s * SECOND_NS;
        let suspicions: Vec<Suspicion> = floods
            .iter()
            .map(|(class, ..)| Suspicion {
                class: *class,
                strength: 30.0,
                packets: 9_000.0,
                evidence: Vec::new(),
            })
            .collect();
        let samples: Vec<Sample> = floods
            .iter()
            .flat_map(|(class, first, count)| {
                let verdict = class.verdicts().first().copied().unwrap_or(Verdict::LimitSyn);
                (*first..first + count).map(move |number| from(number, verdict))
            })
            .collect();
        let window = observe(&[], &[], &samples, 0, features.at_ns, SECOND_NS);
        let changes = self.tracker.step(&features, &suspicions, &window);
        self.campaigns.step(&Scene {
            now_ns: features.at_ns,
            changes: &changes,
            attacks: self.tracker.attacks(),
            responder: &self.responder,
            seen,
            passed: self.passing + 8 * seen.len() as u64,
            connected: &self.connected,
            is_calm: floods.is_empty(),
            is_served: &|seen| Some(seen.stratum.port == 80),
            begun: &self.begun,
            asn: &|_| None,
        })
    }

    fn seconds(&mut self, count: u64, floods: &[Flooded]) -> Vec<Turn> {
        (0..count).flat_map(|_| self.second(floods, &[])).collect()
    }
}

#[test]
fn attacks_by_the_same_sources_at_the_same_time_are_one_campaign() {
    let mut world = World::new();
    let syn: Flooded = (Class::SynFlood, 0, 300);
    let udp: Flooded = (Class::UdpFlood, 20, 300);
    assert_eq!(world.seconds(3, &[syn]), []);
    assert_eq!(world.seconds(3, &[syn, udp]), [Turn::Begun(1)]);
    let icmp: Flooded = (Class::IcmpFlood, 0, 250);
    assert_eq!(world.seconds(10, &[syn, udp]), []);
    // Of the same sources, later: nobody has proven any of them.
    assert_eq!(world.seconds(20, &[syn, udp, icmp]), []);
    let campaign = world.campaigns.campaign(1).expect("it is remembered");
    assert_eq!(
        (campaign.attacks.len(), campaign.kind()),
        (2, CampaignKind::Attacks)
    );
    assert_eq!((campaign.sources_seen, campaign.joints.len()), (320, 1));
    assert_eq!(world.campaigns.of_attack(2).map(|campaign| campaign.id), Some(1));
    assert!(world.campaigns.of_attack(3).is_none());
    let source = Account::of(address(310).into());
    assert_eq!(world.campaigns.of_source(source).count(), 1);
    let ended = world.seconds(75, &[]);
    assert_eq!(ended, [Turn::Ended(1)]);
    let campaign = world.campaigns.campaign(1).expect("it is remembered");
    assert!(!campaign.is_going() && campaign.begun_ns < campaign.last_ns);
}

#[test]
fn sources_that_proved_themselves_join_what_came_later_and_bring_it_back() {
    let mut world = World::new();
    world.connected = (0..12)
        .map(|number| Account::of(address(number).into()))
        .collect();
    let syn: Flooded = (Class::SynFlood, 0, 12);
    world.seconds(5, &[syn]);
    assert_eq!(world.seconds(200, &[]), []);
    // More than two minutes later it is another attack.
    assert_eq!(world.seconds(4, &[syn]), [Turn::Begun(1)]);
    let campaign = world.campaigns.campaign(1).expect("it goes on");
    assert_eq!((campaign.attacks.len(), campaign.proven), (2, 12));
    assert!(world.seconds(200, &[]).contains(&Turn::Ended(1)));
    let again = world.seconds(4, &[syn]);
    assert_eq!(again, [Turn::Grown(1)]);
    assert_eq!(world.campaigns.all().len(), 1);
    assert!(world.campaigns.all()[0].is_going());
}

/// Of a third the sources of two campaigns are: they were one all the time.
#[test]
fn two_campaigns_that_a_third_attack_belongs_to_become_one() {
    let mut world = World::new();
    let mut floods = vec![(Class::SynFlood, 0, 300), (Class::UdpFlood, 0, 300)];
    assert_eq!(world.seconds(1, &floods), [Turn::Begun(1)]);
    floods.extend([(Class::IcmpFlood, 1_000, 300), (Class::ProtocolFlood, 1_000, 300)]);
    assert_eq!(world.seconds(1, &floods), [Turn::Begun(2)]);
    floods.extend([(Class::Reflection, 0, 150), (Class::Reflection, 1_000, 150)]);
    let turns = world.seconds(3, &floods);
    assert!(turns.contains(&Turn::Merged { id: 2, into: 1 }), "{turns:?}");
    let campaigns = world.campaigns.all();
    assert_eq!((campaigns.len(), campaigns[0].attacks.len()), (1, 5));
    assert_eq!(campaigns[0].sources_seen, 600);
    assert_eq!(world.campaigns.of_attack(4).map(|campaign| campaign.id), Some(1));
    assert_eq!(world.seconds(90, &[]), [Turn::Ended(1)]);
}

#[test]
fn what_only_happens_at_the_same_time_is_none() {
    let mut world = World::new();
    let floods = [(Class::SynFlood, 0, 300), (Class::UdpFlood, 5_000, 300)];
    assert_eq!(world.seconds(60, &floods), []);
    // A crowd beside a flood is no attack, whoever is in it.
    let crowd = [(Class::SynFlood, 0, 300), (Class::FlashCrowd, 0, 300)];
    assert_eq!(world.seconds(60, &crowd), []);
    assert!(world.campaigns.all().is_empty());
}

/// A hundred sources that ask for these ports, within some seconds.
fn probe(world: &mut World, ports: &[u16]) -> Vec<Turn> {
    probe_by(world, 0, ports)
}

/// The same, from this number of a source on.
fn probe_by(world: &mut World, first: u32, ports: &[u16]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for second in 0..10 {
        let seen = asking_by(world.at_s, first + second * 10, 10, ports);
        turns.extend(world.second(&[], &seen));
    }
    turns
}

/// What so many sources from this number on ask for in a second.
fn asking_by(at_s: u64, first: u32, count: u32, ports: &[u16]) -> Vec<Seen> {
    let numbers = first..first + count;
    numbers
        .map(|number| {
            let port = ports[number as usize % ports.len()];
            Seen {
                source: address(number).into(),
                head: netguard_common::head::Head {
                    at_ns: at_s * SECOND_NS,
                    ..asking(1, port, Verdict::Pass).head
                },
                ..asking(1, port, Verdict::Pass)
            }
        })
        .collect()
}

#[test]
fn many_sources_that_each_do_hardly_anything_are_one_and_a_flood_by_them_is_its_part() {
    let mut world = World::new();
    assert_eq!(
        probe(&mut world, &[22, 25, 443]),
        [Turn::Begun(1), Turn::Grown(1)]
    );
    let campaign = &world.campaigns.all()[0];
    assert_eq!(
        (campaign.kind(), campaign.attacks.len()),
        (CampaignKind::Probing, 0)
    );
    assert!(campaign.sources_seen >= 48, "{campaign:?}");
    assert!(campaign.services.is_empty() && campaign.targets.len() == 3);
    // Since more had come than are usual.
    let share = Share {
        looked_at: 90,
        passed: 720,
    };
    assert_eq!(campaign.share, share);
    let grown = world.seconds(3, &[(Class::UdpFlood, 0, 100)]);
    assert_eq!(grown, [Turn::Grown(1)]);
    let campaign = &world.campaigns.all()[0];
    assert_eq!(
        (campaign.kind(), campaign.sources_seen),
        (CampaignKind::Both, 100)
    );
    assert_eq!(world.seconds(400, &[]), [Turn::Ended(1)]);
}

/// Found in review: a probe went on for five minutes after its last packet, and another one meanwhile was taken for it.
#[test]
fn a_probe_is_over_a_minute_after_its_last_packet_and_another_is_another() {
    let mut world = World::new();
    probe(&mut world, &[22, 25, 443]);
    let last_ns = world.campaigns.all()[0].last_ns;
    assert_eq!(world.seconds(58, &[]), []);
    assert_eq!(world.seconds(3, &[]), [Turn::Ended(1)]);
    let campaign = &world.campaigns.all()[0];
    assert_eq!(campaign.ended_ns, Some(last_ns), "{campaign:?}");
    // The same sources come again: half of them are enough to know them by.
    assert!(probe(&mut world, &[22, 25, 443]).starts_with(&[Turn::Grown(1)]));
    assert!(world.campaigns.all()[0].is_going() && world.campaigns.all().len() == 1);
    assert_eq!(world.seconds(70, &[]), [Turn::Ended(1)]);
    let others = probe_by(&mut world, 5_000, &[22, 25, 443]);
    assert_eq!(others, [Turn::Begun(2), Turn::Grown(2)]);
}

/// Found in review: what passed in the quiet time between counted as if it had passed while it probed.
#[test]
fn of_a_probe_that_goes_on_again_the_time_between_does_not_count() {
    let mut world = World::new();
    probe(&mut world, &[22, 25, 443]);
    world.seconds(70, &[]);
    let before = world.campaigns.all()[0].share;
    assert_eq!(before.passed, 8 * before.looked_at);
    world.passing = 1_000;
    world.seconds(400, &[]);
    world.passing = 0;
    assert!(probe(&mut world, &[22, 25, 443]).starts_with(&[Turn::Grown(1)]));
    let share = world.campaigns.all()[0].share;
    assert!(share.looked_at > before.looked_at + 50, "{share:?}");
    assert_eq!(share.passed, 8 * share.looked_at);
}

/// Found in review: whoever came between the beginning and twice as many had nothing against it.
#[test]
fn everybody_who_probes_is_suspicious_once_also_beside_an_attack() {
    let mut world = World::new();
    let mut suspects = Vec::new();
    for round in 0..3 {
        for second in 0..20 {
            let seen = asking_by(world.at_s, 5 * second, 5, &[22, 25, 443]);
            let floods = [(Class::UdpFlood, 9_000, 9)];
            world.second(&floods[usize::from(round == 0)..], &seen);
            suspects.extend_from_slice(world.campaigns.suspects());
        }
    }
    let different: BTreeSet<Account> = suspects.iter().copied().collect();
    assert_eq!((suspects.len(), different.len()), (100, 100));
    assert!(world.campaigns.all()[0].has_probing);
    world.seconds(1, &[]);
    assert_eq!(world.campaigns.suspects(), []);
}

/// Found in review: what was absorbed in the same second was not told of.
#[test]
fn turns_of_what_became_part_of_another_at_once_are_told() {
    let (mut campaigns, traits) = (Campaigns::default(), Traits::default());
    let mut turns = Vec::new();
    for [one, other] in [[1, 2], [3, 4], [5, 6], [3, 5], [1, 6]] {
        let parts = [one, other].map(|id| (Part::Attack(id), &traits));
        campaigns.join(parts, Vec::new(), 5, &mut turns);
    }
    let merged = |id, into| Turn::Merged { id, into };
    assert_eq!(
        turns,
        [
            Turn::Begun(1),
            Turn::Begun(2),
            Turn::Begun(3),
            merged(3, 2),
            Turn::Grown(2),
            merged(2, 1),
            Turn::Grown(1)
        ]
    );
    let attacks = |id| campaigns.turned(id).map(|campaign| campaign.attacks.len());
    assert_eq!([1, 2, 3, 4].map(attacks), [Some(6), Some(4), Some(2), None]);
    assert_eq!(campaigns.all().len(), 1);
}

#[test]
fn a_crowd_at_a_service_and_a_service_that_is_gone_are_none() {
    for ports in [&[80][..], &[8_080], &[80, 8_080]] {
        assert_eq!(probe(&mut World::new(), ports), [], "{ports:?}");
    }
}

#[test]
fn what_a_flood_forges_is_no_probing() {
    let mut world = World::new();
    world.seconds(2, &[(Class::SynFlood, 7_000, 9)]);
    let seen: Vec<Seen> = (0..200)
        .map(|number| Seen {
            source: address(number).into(),
            ..asking(1, 1_000 + (number % 5) as u16, Verdict::Pass)
        })
        .collect();
    assert_eq!(world.second(&[(Class::SynFlood, 7_000, 9)], &seen), []);
    assert!(world.campaigns.probing.is_empty());
}

#[test]
fn memory_is_bounded_and_clocks_may_jump() {
    let mut world = World::new();
    world.connected = (0..12)
        .map(|number| Account::of(address(number).into()))
        .collect();
    let floods = [(Class::SynFlood, 0, 12), (Class::UdpFlood, 0, 12)];
    for hour in 0..200 {
        world.at_s = 10_000 + hour * 4_000;
        world.seconds(3, &floods);
        world.at_s += 100;
        world.seconds(2, &[]);
    }
    assert_eq!(world.campaigns.all().len(), REMEMBERED);
    assert_eq!(
        world.campaigns.all().last().map(|campaign| campaign.id),
        Some(200)
    );
    let with_sources = world
        .campaigns
        .all()
        .iter()
        .filter(|campaign| !campaign.sources().is_empty());
    assert_eq!(with_sources.count(), WITH_SOURCES);
    assert!(world.campaigns.attacks.len() <= world.tracker.attacks().len());
    for at_s in [
        u64::MAX / SECOND_NS - 2,
        0,
        7,
        u64::MAX / SECOND_NS - 2,
        50_000_000,
    ] {
        world.at_s = at_s;
        world.second(&floods, &[]);
        world.second(&[], &[]);
    }
}
