//! The kept corpus, and mutations of it, through every target.

use std::fs;
use std::path::Path;

use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{Config, TestRunner};
use targets::ALL;

/// The kept inputs of a target, in order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .expect("every target has a corpus")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    paths.sort();
    let read = |path| fs::read(path).expect("the corpus can be read");
    paths.into_iter().map(read).collect()
}

#[test]
fn every_target_has_a_file_and_a_corpus_that_it_survives() {
    for (name, target) in ALL {
        let file = format!("fuzz_targets/{name}.rs");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        assert!(file.exists(), "{}", file.display());
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.iter().for_each(|input| target(input));
        target(&[]);
    }
}

/// One change: where, how much is replaced, and by what.
type Change = (usize, usize, Vec<u8>);

fn mutate(input: &mut Vec<u8>, (place, size, bytes): Change) {
    let start = place % (input.len() + 1);
    let end = (start + size).min(input.len());
    input.splice(start..end, bytes);
}

#[test]
fn every_target_survives_changes_of_its_corpus() {
    let change = (
        any::<usize>(),
        0..24_usize,
        proptest::collection::vec(any::<u8>(), 0..24),
    );
    let inputs = (any::<usize>(), proptest::collection::vec(change, 1..6));
    for (name, target) in ALL {
        let kept = corpus(name);
        let config = Config {
            failure_persistence: None,
            ..ProptestConfig::with_cases(500)
        };
        let mut runner = TestRunner::new(config);
        let outcome = runner.run(&inputs, |(which, changes)| {
            let mut input = kept[which % kept.len()].clone();
            changes
                .into_iter()
                .for_each(|change| mutate(&mut input, change));
            target(&input);
            Ok(())
        });
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}
