//! The pipelines of this repository are sound, by the commands that their owners run.

use std::path::PathBuf;
use std::process::Command;

fn folders() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let entries = std::fs::read_dir(&folder).expect("the folder of pipelines");
    let mut dirs: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    dirs.sort();
    assert!(!dirs.is_empty(), "{} holds no pipeline", folder.display());
    dirs
}

fn sluice(verb: &str, dirs: &[PathBuf]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sluice")).arg(verb).args(dirs).output();
    let output = output.expect("the program starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn check_finds_no_mistake_in_any_pipeline_folder() {
    let dirs = folders();
    let told = sluice("check", &dirs);
    assert_eq!(told.lines().filter(|line| line.starts_with("ok: ")).count(), dirs.len(), "{told}");
}

#[test]
fn every_sample_ends_as_expected() {
    for dir in folders() {
        let samples = std::fs::read_dir(dir.join("samples")).expect("samples").count();
        let told = sluice("test", &[dir]);
        assert!(told.contains(&format!("{samples} passed, 0 failed")), "{told}");
    }
}
