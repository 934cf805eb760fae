//! The words of the story. The statements themselves are draft files, as `onrecord draft save` takes them.

/// Something that happens, as the narrator tells it.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) when: &'static str,
    pub(super) words: &'static str,
}

const fn scene(when: &'static str, words: &'static str) -> Scene {
    Scene { when, words }
}

pub(super) const TITLE: &str = "Thirty days under fire";
pub(super) const INTRODUCTION: &str = "\
Lumeo, a messenger that does not exist, has a bad month. anna writes, tom translates, bea reviews, chris publishes.
Two subscribers follow the feed: the site lumeo.example, and a newswire that is cleared for embargoes.
The milliseconds run from the call, or from the time that was set, to the arrival at the subscriber.";

pub(super) const ORDER: Scene = scene(
    "Day 0, 09:12",
    "Varland orders the Lumeo app out of its stores. Phones ring. The reviewers are on a train.\n\
     chris breaks the glass: the holding statement goes out unapproved, and the approval is owed.",
);
pub(super) const FORCE_REASON: &str = "People are locked out now, and no reviewer can be reached.";
pub(super) const OWED: Scene =
    scene("Day 0, 09:50", "bea is back. The debt is on a list until somebody pays it; who wrote the text cannot.");
pub(super) const TRANSLATIONS: Scene =
    scene("Day 0, 10:30", "Four translations, reviewed, in one step: subscribers get all of them or none.");

pub(super) const SCHEDULE: Scene =
    scene("Day 12, 14:00", "Lumeo goes to court. The update is approved, and set for a few seconds from now.");
pub(super) const WRONG: Scene = scene(
    "Day 12, 14:06",
    "A reader finds that a figure is wrong: 4.1 million people, not 1.4. It has to be corrected now,\n\
     while the update, with the wrong figure in it, waits for its time.",
);
pub(super) const GERMAN: Scene =
    scene("Day 12, 14:20", "All translations are marked as behind. The German one catches up first.");
pub(super) const HELD: Scene = scene(
    "Day 12, 15:00",
    "The time of the update comes. It was written on top of the edition that turned out to be wrong.",
);
pub(super) const RESUMED: Scene = scene(
    "Day 12, 15:10",
    "The update is not lost. It becomes a draft again, and only after somebody has seen the correction can it go out.",
);
pub(super) const CANCEL_REASON: &str = "It has the wrong figure.";

pub(super) const EMBARGO: Scene = scene(
    "Day 14, 08:00",
    "An audit clears Lumeo. Newsrooms get it ahead of time; for everybody else it does not exist.",
);
pub(super) const LIFTED: Scene = scene("Day 14, 09:00", "The embargo ends, by itself.");

pub(super) const WITHDRAWAL: Scene = scene(
    "Day 25, 17:30",
    "Varland lifts the order. The old statement is no longer true, and nobody should quote it as if it were.",
);
pub(super) const NOTICE: &str =
    "The order was lifted on day 25, and the app is back in the stores. This statement stays here as a record.";

pub(super) const AUDIT: Scene = scene("Day 30, 11:00", "The auditors ask: what was public on day 12 at 14:05?");
pub(super) const SITE: Scene = scene("Day 30, 11:20", "What does the site show now, and is it what the service says?");
pub(super) const PROOF: Scene = scene("Day 30, 11:40", "Can anybody have changed the past?");
pub(super) const END: &str = "Nothing was lost, nothing was undone, and all of it can be proved.";

pub(super) const ORDER_EN: &str = include_str!("texts/order.en.md");
pub(super) const ORDER_TRANSLATED: [&str; 4] = [
    include_str!("texts/order.de.md"),
    include_str!("texts/order.fr.md"),
    include_str!("texts/order.pt-BR.md"),
    include_str!("texts/order.ar.md"),
];
pub(super) const APPEAL_EN: &str = include_str!("texts/appeal.en.md");
pub(super) const CORRECTION_EN: &str = include_str!("texts/correction.en.md");
pub(super) const CORRECTION_DE: &str = include_str!("texts/correction.de.md");
pub(super) const AUDIT_EN: &str = include_str!("texts/audit.en.md");

pub(super) const WRONG_FIGURE: &str = "1.4 million";
pub(super) const RIGHT_FIGURE: &str = "4.1 million";

#[cfg(test)]
mod tests {
    use crate::cli::draft_file;

    use super::{
        APPEAL_EN, AUDIT_EN, CORRECTION_DE, CORRECTION_EN, ORDER_EN, ORDER_TRANSLATED, RIGHT_FIGURE, WRONG_FIGURE,
    };

    #[test]
    fn every_text_is_a_draft_file() {
        for text in [ORDER_EN, APPEAL_EN, CORRECTION_EN, CORRECTION_DE, AUDIT_EN].iter().chain(&ORDER_TRANSLATED) {
            draft_file::parse(text).unwrap();
        }
    }

    #[test]
    fn the_figure_is_wrong_until_it_is_corrected() {
        assert!(ORDER_EN.contains(WRONG_FIGURE) && APPEAL_EN.contains(WRONG_FIGURE));
        let corrected = draft_file::parse(CORRECTION_EN).unwrap().content.body;
        assert!(corrected.contains(RIGHT_FIGURE) && !corrected.contains(WRONG_FIGURE));
    }
}
