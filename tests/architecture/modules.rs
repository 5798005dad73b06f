//! The modules of a crate, and which of them use which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path as FilePath;

use super::paths::{Path, Paths, paths};
use super::tokens::{tokens, without_tests};

/// The names from the crate's root to a module; none for the root.
pub(super) type Module = Vec<String>;

/// Imports that are followed to where an item is defined, before a circle of them is assumed.
const MOST_IMPORTS: usize = 16;

struct File {
    path: String,
    paths: Paths,
    /// Names of its submodules that only tests see.
    tests: Vec<String>,
}

/// A crate's production code.
pub(super) struct Crate {
    files: BTreeMap<Module, File>,
}

/// That one module uses another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) from: Module,
    /// The module that defines what is used, through whichever module re-exports it.
    pub(super) to: Module,
    /// The file and line of the use.
    pub(super) place: String,
}

/// The target of a path.
enum Target {
    Module(Module),
    /// Another crate, or a type of the file itself.
    Other(String),
}

impl Crate {
    /// Reads the crate whose root is `folder`, a path from `root`.
    pub(super) fn read(root: &FilePath, folder: &str) -> Self {
        let sources = super::sources(&root.join(folder));
        let texts = sources.iter().map(|file| {
            let path = super::relative(root, file);
            (path, fs::read_to_string(file).unwrap())
        });
        Self::new(folder, texts)
    }

    fn new(folder: &str, sources: impl Iterator<Item = (String, String)>) -> Self {
        let mut files = BTreeMap::new();
        for (path, text) in sources {
            if path == format!("{folder}/main.rs") {
                continue;
            }
            let (tokens, tests) = without_tests(&tokens(&text));
            let paths = paths(&tokens);
            files.insert(module_of(&path, folder), File { path, paths, tests });
        }
        let of_tests: Vec<Module> = (files.iter())
            .flat_map(|(module, file)| file.tests.iter().map(move |name| child(module, name)))
            .collect();
        files.retain(|module, _| !of_tests.iter().any(|tests| module.starts_with(tests)));
        Self { files }
    }

    /// Every use of one module by another.
    pub(super) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        self.each_path(|module, file, path| {
            if let Target::Module(to) = self.resolve(module, &path.names, 0)
                && to != *module
            {
                uses.push(Use {
                    from: module.clone(),
                    to,
                    place: format!("{}:{}", file.path, path.line),
                });
            }
        });
        uses
    }

    /// Every first name of a path that is none of the crate's modules, with its file and line.
    pub(super) fn foreign(&self) -> Vec<(String, String)> {
        let mut names = Vec::new();
        self.each_path(|module, file, path| {
            if let Target::Other(name) = self.resolve(module, &path.names, 0) {
                names.push((name, format!("{}:{}", file.path, path.line)));
            }
        });
        names
    }

    fn each_path(&self, mut visit: impl FnMut(&Module, &File, &Path)) {
        for (module, file) in &self.files {
            let imports = file.paths.imports.iter().map(|(_, path)| path);
            for path in imports.chain(&file.paths.mentions) {
                visit(module, file, path);
            }
        }
    }

    fn imported(&self, module: &Module, name: &str) -> Option<&[String]> {
        let imports = &self.files.get(module)?.paths.imports;
        let found = imports.iter().find(|(known, _)| known == name);
        found.map(|(_, path)| path.names.as_slice())
    }

    /// What `names` leads to within `module`.
    fn resolve(&self, module: &Module, names: &[String], imports: usize) -> Target {
        let Some((first, rest)) = names.split_first() else {
            return Target::Module(module.clone());
        };
        if imports > MOST_IMPORTS {
            return Target::Other(first.clone());
        }
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (Module::new(), rest),
            "self" => (module.clone(), rest),
            "super" => (module[..module.len().saturating_sub(1)].to_vec(), rest),
            "" => return Target::Other(rest.first().cloned().unwrap_or_default()),
            name if self.files.contains_key(&child(module, name)) => (module.clone(), names),
            name => match self.imported(module, name) {
                Some(path) if path != names && path[0] != *name => {
                    let whole = [path, rest].concat();
                    return self.resolve(module, &whole, imports + 1);
                }
                _ => return Target::Other(first.clone()),
            },
        };
        while let Some((name, behind)) = rest.split_first() {
            if name == "super" {
                at.pop();
            } else if self.files.contains_key(&child(&at, name)) {
                at.push(name.clone());
            } else {
                break;
            }
            rest = behind;
        }
        let Some((name, behind)) = rest.split_first() else {
            return Target::Module(at);
        };
        match self.imported(&at, name) {
            Some(path) => match self.resolve(&at, &[path, behind].concat(), imports + 1) {
                Target::Module(to) => Target::Module(to),
                // Another crate's item that the module re-exports.
                Target::Other(_) => Target::Module(at),
            },
            None => Target::Module(at),
        }
    }
}

fn child(module: &Module, name: &str) -> Module {
    let mut child = module.clone();
    child.push(name.to_owned());
    child
}

/// `src/run/mod.rs` and `src/run.rs` are `run`.
fn module_of(path: &str, folder: &str) -> Module {
    let inner = path.strip_prefix(folder).unwrap().trim_start_matches('/');
    let mut names: Module = (inner.trim_end_matches(".rs").split('/'))
        .map(str::to_owned)
        .collect();
    if names
        .last()
        .is_some_and(|name| name == "mod" || name == "lib")
    {
        names.pop();
    }
    names
}

/// The cycles among siblings: modules with the same parent of which each uses the next, itself or
/// by its submodules. As sorted lists, `parent: a b c`.
pub(super) fn circles(uses: &[Use]) -> Vec<String> {
    let mut edges: BTreeMap<Module, BTreeSet<(String, String)>> = BTreeMap::new();
    for Use { from, to, .. } in uses {
        let same = from
            .iter()
            .zip(to)
            .take_while(|(from, to)| from == to)
            .count();
        if let (Some(a), Some(b)) = (from.get(same), to.get(same)) {
            let between = edges.entry(from[..same].to_vec()).or_default();
            between.insert((a.clone(), b.clone()));
        }
    }
    let mut found = Vec::new();
    for (parent, edges) in edges {
        let reach = reachable(&edges);
        let mut circles = BTreeSet::new();
        for (a, _) in &edges {
            let circle: Vec<&str> = (reach[a].iter())
                .filter(|b| reach.get(*b).is_some_and(|back| back.contains(a)))
                .map(String::as_str)
                .collect();
            if !circle.is_empty() {
                circles.insert(circle.join(" "));
            }
        }
        let parent = parent.join("::");
        found.extend(circles.iter().map(|circle| format!("{parent}: {circle}")));
    }
    found
}

/// What can be reached from each start of an edge.
fn reachable(edges: &BTreeSet<(String, String)>) -> BTreeMap<String, BTreeSet<String>> {
    let mut reach: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (a, b) in edges {
        reach.entry(a.clone()).or_default().insert(b.clone());
    }
    loop {
        let before = reach.clone();
        for ends in reach.values_mut() {
            let further: Vec<String> = (ends.iter())
                .filter_map(|end| before.get(end))
                .flatten()
                .cloned()
                .collect();
            ends.extend(further);
        }
        if reach == before {
            return reach;
        }
    }
}

/// The uses that run against `order`, a list of modules of which each may use those before it: each
/// as a line. `depth` is the number of names before theirs.
pub(super) fn against(order: &[&str], depth: usize, uses: &[Use]) -> Vec<String> {
    let row = |module: &Module| {
        let name = module.get(depth)?;
        order.iter().position(|known| known == name)
    };
    let is_broken = |used: &&Use| {
        used.from[..depth.min(used.from.len())] == used.to[..depth.min(used.to.len())]
            && matches!((row(&used.from), row(&used.to)), (Some(from), Some(to)) if from < to)
    };
    let line = |used: &Use| format!("{} uses {}", used.place, used.to.join("::"));
    uses.iter().filter(is_broken).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(files: &[(&str, &str)]) -> Vec<Use> {
        let sources = files
            .iter()
            .map(|(path, text)| (format!("src/{path}"), (*text).to_owned()));
        Crate::new("src", sources).uses()
    }

    fn shown(uses: &[Use]) -> Vec<String> {
        let line = |used: &Use| format!("{} -> {}", used.from.join("::"), used.to.join("::"));
        uses.iter().map(line).collect()
    }

    #[test]
    fn an_item_belongs_to_the_module_that_defines_it() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::inner::Item;"),
            ("a/mod.rs", "pub mod inner; fn f() { inner::g() }"),
            ("a/inner.rs", "pub struct Item; pub fn g() {}"),
            (
                "b.rs",
                "use crate::{\n    Item,\n    a,\n};\nfn f() { a::inner::g(); std::mem::take() }",
            ),
        ];
        let expected = [
            " -> a::inner",
            "a -> a::inner",
            "b -> a::inner",
            "b -> a",
            "b -> a::inner",
        ];
        assert_eq!(shown(&uses(&files)), expected);
    }

    #[test]
    fn a_use_against_the_order_is_found_behind_a_test_and_in_a_list() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "#[cfg(test)]\nmod tests { use crate::b::B; }\nuse crate::{\n b::{B},\n};",
            ),
            ("b.rs", "use super::a::A;"),
        ];
        assert_eq!(
            against(&["a", "b"], 0, &uses(&files)),
            ["src/a.rs:4 uses b"]
        );
        assert_eq!(
            against(&["b", "a"], 0, &uses(&files)),
            ["src/b.rs:1 uses a"]
        );
    }

    #[test]
    fn a_cycle_through_submodules_is_reported_for_the_folders() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a/mod.rs", "mod x; mod y;"),
            ("a/x.rs", "use super::y::Y; use super::super::b::B;"),
            ("a/y.rs", "fn f() -> super::x::X { todo() }"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "use crate::a::x::X;"),
        ];
        assert_eq!(circles(&uses(&files)), [": a b c", "a: x y"]);
    }

    #[test]
    fn files_of_tests_do_not_count() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "#[cfg(test)] mod tests; use crate::b::B;"),
            ("a/tests.rs", "mod deep; use crate::b::B;"),
            ("a/tests/deep.rs", "use crate::b::B;"),
            ("b.rs", ""),
        ];
        assert_eq!(shown(&uses(&files)), ["a -> b"]);
    }
}
