//! The shapes of a model's bodies, as its MJCF states them: for drawing.
//!
//! Only what the models of these environments use is read: spheres, capsules, cylinders and the
//! floor, with default classes. Everything else is ignored.

use roxmltree::{Document, Node};
use std::collections::HashMap;

type Vector = [f64; 3];

/// A round shape on a body: all points within a radius of a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Geom {
    /// The number of its body; 0 is the world body.
    pub(super) body: usize,
    /// Both ends of the line in the body's frame, in metres; the same for a sphere.
    pub(super) ends: [Vector; 2],
    /// In metres.
    pub(super) radius: f64,
}

/// The bodies of a model with their shapes.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) geoms: Vec<Geom>,
    /// The parent of each body, in the library's order; the world body is its own.
    pub(super) parents: Vec<usize>,
    /// The height of the floor in metres.
    pub(super) floor: Option<f64>,
}

/// The attributes of a geom.
type Attributes = HashMap<String, String>;

impl Scene {
    /// Reads it from MJCF; `None` if that is not XML.
    pub(super) fn parse(mjcf: &str) -> Option<Self> {
        let document = Document::parse(mjcf).ok()?;
        let root = document.root_element();
        let mut reader = Reader {
            scene: Self::default(),
            classes: HashMap::new(),
            is_in_degrees: child(root, "compiler").and_then(|compiler| compiler.attribute("angle"))
                != Some("radian"),
        };
        if let Some(default) = child(root, "default") {
            reader.read_class(default, &Attributes::new());
        }
        reader.read_body(child(root, "worldbody")?, 0, "main");
        Some(reader.scene)
    }

    /// Whether a body is a descendant of another one, or that one itself.
    pub(super) fn is_below(&self, body: usize, above: usize) -> bool {
        body == above || (body != 0 && self.is_below(self.parents[body], above))
    }
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

struct Reader {
    scene: Scene,
    classes: HashMap<String, Attributes>,
    is_in_degrees: bool,
}

impl Reader {
    /// A class of defaults, which starts from those of the class around it.
    fn read_class(&mut self, node: Node, outer: &Attributes) {
        let mut attributes = outer.clone();
        if let Some(geom) = child(node, "geom") {
            add(&mut attributes, geom);
        }
        for inner in node.children().filter(|node| node.has_tag_name("default")) {
            self.read_class(inner, &attributes);
        }
        let name = node.attribute("class").unwrap_or("main");
        self.classes.insert(name.to_owned(), attributes);
    }

    /// A body and those below it, in the order in which the library numbers them.
    fn read_body(&mut self, node: Node, parent: usize, class: &str) {
        let body = self.scene.parents.len();
        self.scene.parents.push(parent);
        for geom in node.children().filter(|node| node.has_tag_name("geom")) {
            let class = geom.attribute("class").unwrap_or(class);
            let mut attributes = self.classes.get(class).cloned().unwrap_or_default();
            add(&mut attributes, geom);
            self.read_geom(body, &attributes);
        }
        for inner in node.children().filter(|node| node.has_tag_name("body")) {
            let class = inner.attribute("childclass").unwrap_or(class);
            self.read_body(inner, body, class);
        }
    }

    fn read_geom(&mut self, body: usize, attributes: &Attributes) {
        let place: Vector = numbers(attributes, "pos").unwrap_or_default();
        let sizes: [f64; 2] = numbers(attributes, "size").unwrap_or_default();
        let kind = attributes.get("type").map(String::as_str);
        let half = match kind {
            Some("plane") => {
                self.scene.floor = Some(place[2]);
                return;
            }
            None | Some("sphere") => 0.0,
            Some("capsule" | "cylinder") => sizes[1],
            Some(_) => return,
        };
        let axis = self.axis(attributes);
        let end = |side: f64| std::array::from_fn(|i| place[i] + side * half * axis[i]);
        let ends = match numbers::<6>(attributes, "fromto") {
            Some([a, b, c, d, e, f]) => [[a, b, c], [d, e, f]],
            None => [end(-1.0), end(1.0)],
        };
        self.scene.geoms.push(Geom {
            body,
            ends,
            radius: sizes[0],
        });
    }

    /// The direction of a geom's own z axis.
    fn axis(&self, attributes: &Attributes) -> Vector {
        if let Some([w, x, y, z]) = numbers(attributes, "quat") {
            let scale = 2.0 / (w * w + x * x + y * y + z * z);
            return [
                scale * (x * z + w * y),
                scale * (y * z - w * x),
                1.0 - scale * (x * x + y * y),
            ];
        }
        let Some([x, y, z, turn]) = numbers(attributes, "axisangle") else {
            return [0.0, 0.0, 1.0];
        };
        let turn: f64 = if self.is_in_degrees {
            turn.to_radians()
        } else {
            turn
        };
        let length = (x * x + y * y + z * z).sqrt();
        let [x, y, z] = [x, y, z].map(|number| number / length);
        let (sin, cos) = turn.sin_cos();
        [
            x * z * (1.0 - cos) + y * sin,
            y * z * (1.0 - cos) - x * sin,
            z * z * (1.0 - cos) + cos,
        ]
    }
}

fn add(attributes: &mut Attributes, node: Node) {
    for attribute in node.attributes() {
        attributes.insert(attribute.name().to_owned(), attribute.value().to_owned());
    }
}

/// The numbers of an attribute, if it is there; 0 for those that are missing at its end.
fn numbers<const N: usize>(attributes: &Attributes, name: &str) -> Option<[f64; N]> {
    let mut numbers = [0.0; N];
    let words = attributes.get(name)?.split_whitespace();
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = word.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"<mujoco>
      <compiler angle="radian"/>
      <default>
        <geom type="capsule" size="0.1 0.5"/>
        <default class="thin"><geom size="0.02 0.5"/></default>
        <default class="ball"><geom type="sphere" pos="0 0 1"/></default>
      </default>
      <worldbody>
        <geom type="plane" pos="0 0 -2"/>
        <body childclass="thin">
          <geom axisangle="0 1 0 1.5707963267948966" pos="1 0 0"/>
          <body><geom class="ball"/></body>
          <body><geom quat="1 1 0 0"/><geom type="mesh"/></body>
        </body>
        <body><geom fromto="0 0 0 3 0 0"/></body>
      </worldbody>
    </mujoco>"#;

    #[test]
    fn shapes_are_read_with_the_classes_they_belong_to() {
        let scene = Scene::parse(MODEL).unwrap();
        assert_eq!(scene.parents, [0, 0, 1, 1, 0]);
        assert_eq!(scene.floor, Some(-2.0));
        let expected = [
            (1, 0.02, [[0.5, 0.0, 0.0], [1.5, 0.0, 0.0]]),
            (2, 0.1, [[0.0, 0.0, 1.0]; 2]),
            (3, 0.02, [[0.0, 0.5, 0.0], [0.0, -0.5, 0.0]]),
            (4, 0.1, [[0.0; 3], [3.0, 0.0, 0.0]]),
        ];
        assert_eq!(scene.geoms.len(), expected.len());
        for (geom, (body, radius, ends)) in scene.geoms.iter().zip(expected) {
            assert_eq!(
                (geom.body, geom.radius.to_bits()),
                (body, f64::to_bits(radius))
            );
            for (number, expected) in geom.ends.as_flattened().iter().zip(ends.as_flattened()) {
                assert!((number - expected).abs() < 1e-12, "{geom:?}");
            }
        }
        assert!(scene.is_below(3, 1) && scene.is_below(3, 0) && !scene.is_below(4, 1));
        assert!(Scene::parse("no XML").is_none());
    }
}
