//! An explanation as people read it.

use super::{
    super::{
        output::{seconds, wrapped},
        reputation::lines as reputation_lines,
    },
    explanation::{Explanation, RuleMatch},
    stages::{Outcome, Stage},
};

const COLUMNS: usize = 120;
/// Stages of this name are told by their level, those of several classes in one line.
const LIMIT: &str = "limit";

pub(super) fn text(explanation: &Explanation) -> String {
    let mut lines = vec![format!("{}: {}", explanation.address, explanation.verdict)];
    lines.push(match explanation.proof {
        "none" => "proof: none (no established connection: the address may be forged)".to_owned(),
        proof => format!("proof: {proof}"),
    });
    lines.extend(explanation.reputation.iter().flat_map(reputation_lines));
    let unknown = explanation.lists_unknown.iter();
    lines.extend(unknown.map(|why| format!("lists: could not be looked at: {why}")));
    for RuleMatch { list, rule } in &explanation.rules {
        let ends = rule.expires_in_s.map_or_else(
            || "for good".to_owned(),
            |left| format!("for {} more", seconds(left)),
        );
        lines.push(format!(
            "rule: {list}list {} {ends}, by {}, reason: {}",
            rule.prefix, rule.origin, rule.reason
        ));
    }
    for limit in &explanation.limits {
        lines.push(format!(
            "limit: {} per {} {}/s, {} of a burst of {} used",
            limit.class, limit.level, limit.rate_per_s, limit.used, limit.burst
        ));
    }
    lines.extend(
        explanation
            .evidence
            .iter()
            .map(|sentence| format!("evidence: {sentence}")),
    );
    lines.extend(stage_lines(&explanation.stages));
    lines.extend(explanation.undo.iter().map(|command| format!("undo: {command}")));
    lines.join("\n")
}

/// The stages as far as a packet of the source gets.
fn stage_lines(stages: &[Stage]) -> Vec<String> {
    let mut lines = vec!["stages of the datapath, in their order:".to_owned()];
    let reached: Vec<&Stage> = stages.iter().filter(|stage| stage.reached).collect();
    for (at, stage) in reached.iter().enumerate() {
        if reached[..at].iter().any(|before| is_same(before, stage)) {
            continue;
        }
        let name = match stage.level {
            Some(level) if stage.stage == LIMIT => format!("{LIMIT} per {level}"),
            _ => stage.stage.to_owned(),
        };
        let group = reached.iter().filter(|other| is_same(stage, other));
        let said: Vec<String> = group
            .map(|stage| why(stage))
            .filter(|why| !why.is_empty())
            .collect();
        let begin = format!("  {name:<18} {:<12} ", outcome(stage.outcome));
        let told = wrapped(&begin, &" ".repeat(begin.len()), COLUMNS, &said.join(", "));
        lines.push(told.trim_end().to_owned());
    }
    if reached.len() < stages.len() {
        lines.push("  later ones are not asked".to_owned());
    }
    lines
}

/// Whether both are told in one line: limits of different classes that do the same.
fn is_same(one: &Stage, other: &Stage) -> bool {
    let key = |stage: &Stage| (stage.stage, stage.level, stage.outcome);
    key(one) == key(other)
}

fn why(stage: &Stage) -> String {
    let mut said = match stage
        .class
        .filter(|_| stage.stage == LIMIT && !stage.why.is_empty())
    {
        Some(class) => format!("{class}: {}", stage.why),
        None => stage.why.clone(),
    };
    if let Some(verdict) = stage
        .verdict
        .as_ref()
        .filter(|_| stage.outcome != Outcome::Passes)
    {
        said.push_str(&format!(" ({verdict})"));
    }
    if stage.mode == Some("shadow") && stage.outcome == Outcome::Depends {
        said.push_str(" (only counted)");
    }
    said
}

const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passes => "passes",
        Outcome::Drops => "drops",
        Outcome::WouldDrop => "would drop",
        Outcome::Answers => "answers",
        Outcome::Depends => "depends",
        Outcome::Off => "off",
        Outcome::Unknown => "unknown",
    }
}
