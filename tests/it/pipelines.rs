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
    let dirs = folders();
    let told = sluice("test", &dirs);
    let mut sums = told.lines().filter(|line| line.ends_with(" failed"));
    for dir in dirs {
        let samples = std::fs::read_dir(dir.join("samples")).expect("samples").count();
        assert_eq!(sums.next(), Some(format!("{samples} passed, 0 failed").as_str()), "{told}");
    }
}

#[test]
fn a_new_pipeline_of_every_bundle_passes_check_and_test() {
    let root = tempfile::tempdir().expect("a folder");
    let models = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models");
    for entry in std::fs::read_dir(models).expect("the folder of models") {
        let model = entry.expect("an entry").path();
        let name = format!("new-{}", model.file_name().expect("a name").to_string_lossy());
        let run = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
            command.args(["new", "pipeline", &name, "--dir"]).arg(root.path());
            command.arg("--model").arg(&model).output().expect("the program starts")
        };
        let made = run();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let dir = root.path().join(&name);
        assert!(sluice("check", std::slice::from_ref(&dir)).starts_with("ok: new-"));
        assert!(sluice("test", &[dir]).contains("1 passed, 0 failed"));
        let again = run();
        assert_eq!(again.status.code(), Some(64));
    }
}
