//! Shared by the tests of the command line: a temporary folder and the program in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder with the program ready to run in it.
pub(crate) struct Workbench {
    folder: tempfile::TempDir,
}

impl Workbench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    /// The program with the words of `arguments`.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtg"));
        command
            .current_dir(self.folder.path())
            .args(arguments.split_whitespace())
            .env("NO_COLOR", "1")
            .env_remove("MINARI_DATASETS_PATH")
            .env_remove("SLURM_CPUS_PER_TASK")
            .env("HOME", self.folder.path());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and expects success; returns stdout.
    pub(crate) fn succeed(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "rtg {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code, stdout and stderr in one text, for snapshots.
    pub(crate) fn transcript(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let text = format!(
            "exit code {}\n----- stdout\n{}----- stderr\n{}",
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        text.replace(self.folder.path().to_str().unwrap(), "[folder]")
    }
}

/// Options of a run that takes about a second.
pub(crate) const TINY: &str = "--threads 2 --set decision_transformer.width=16 \
    --set decision_transformer.layers=1 \
    --set optimiser.batch_size=8 --set decision_transformer.context=5 \
    --set evaluation.final_episodes=4 \
    --set evaluation.episodes=2";

/// A file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
