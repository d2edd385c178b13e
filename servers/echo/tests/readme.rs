//! What the README shows is what is there, piece by piece.

const README: &str = include_str!("../../../README.md");

/// Where the pieces are from.
const SOURCES: [&str; 5] = [
    include_str!("../../../libmach/interfaces/src/echo.rs"),
    include_str!("../src/lib.rs"),
    include_str!("../src/main.rs"),
    include_str!("echo.rs"),
    include_str!("../../squares/src/lib.rs"),
];

/// Rust text without comments and layout.
fn bare(text: &str) -> String {
    let code = text.lines().map(|line| line.split("//").next());
    let mut bare: String = code.flatten().flat_map(str::split_whitespace).collect();
    for end in ["}", ")"] {
        bare = bare.replace(&format!(",{end}"), end);
    }
    bare
}

#[test]
fn the_readme_shows_the_code_that_runs() {
    let sources = SOURCES.map(bare);
    let blocks = README.split("```rust\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 4, "interface, server, client, pager");
    for piece in blocks.iter().flat_map(|block| block.split("\n\n")) {
        let shown = bare(piece);
        let found = sources.iter().any(|source| source.contains(&shown));
        assert!(found, "the README shows what is not there:\n{piece}");
    }
}

/// An example that grows is none any more.
#[test]
fn the_example_server_has_at_most_25_lines() {
    let [_, server, wiring, ..] = SOURCES;
    let lines = server.lines().chain(wiring.lines()).map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    assert!(code.count() <= 25);
}
