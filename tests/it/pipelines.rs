//! The pipelines of this repository are sound.

use std::path::PathBuf;

use sluice::cli::check::check;

#[test]
fn check_finds_no_mistake_in_any_pipeline_folder() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let mut dirs: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of pipelines")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    dirs.sort();
    assert!(!dirs.is_empty(), "{} holds no pipeline", folder.display());
    let mut said = Vec::new();
    let count = check(&dirs, &mut said).expect("a buffer takes it");
    assert_eq!(count, 0, "{}", String::from_utf8_lossy(&said));
}
