//! The layout of a maze: walls, and paths from one cell to another.

use std::collections::VecDeque;

/// A cell: (row, column).
pub type Cell = (usize, usize);

/// A rectangle of cells, each open or wall, with walls all around.
#[derive(Clone, Copy, Debug)]
pub struct Maze {
    /// Rows from the top; `#` is a wall.
    rows: &'static [&'static str],
}

impl Maze {
    /// A maze from its picture: rows of one length, `#` for walls, walls all around.
    pub(crate) const fn new(rows: &'static [&'static str]) -> Self {
        Self { rows }
    }

    /// Number of rows and of columns.
    pub fn size(&self) -> (usize, usize) {
        (
            self.rows.len(),
            self.rows.first().map_or(0, |row| row.len()),
        )
    }

    /// Whether a cell is open; outside the picture everything is wall.
    pub fn is_open(&self, (row, column): Cell) -> bool {
        self.rows
            .get(row)
            .and_then(|row| row.as_bytes().get(column))
            .is_some_and(|&letter| letter != b'#')
    }

    /// All open cells, row by row.
    pub fn open_cells(&self) -> Vec<Cell> {
        let (rows, columns) = self.size();
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .filter(|&cell| self.is_open(cell))
            .collect()
    }

    /// The shortest path between two open cells, both included; empty where there is none. Ties are
    /// always broken the same way.
    pub fn way(&self, from: Cell, to: Cell) -> Vec<Cell> {
        if !self.is_open(from) || !self.is_open(to) {
            return Vec::new();
        }
        let (rows, columns) = self.size();
        // Searched from the goal, so that each cell has its successor.
        let mut next: Vec<Option<Cell>> = vec![None; rows * columns];
        next[to.0 * columns + to.1] = Some(to);
        let mut reached = VecDeque::from([to]);
        while let Some(cell) = reached.pop_front() {
            for neighbour in neighbours(cell) {
                let place = neighbour.0 * columns + neighbour.1;
                if self.is_open(neighbour) && next[place].is_none() {
                    next[place] = Some(cell);
                    reached.push_back(neighbour);
                }
            }
        }
        let mut way = Vec::new();
        let mut cell = from;
        while let Some(successor) = next[cell.0 * columns + cell.1] {
            way.push(cell);
            if cell == to {
                break;
            }
            cell = successor;
        }
        way
    }
}

/// Walls are all around, so an open cell has four.
fn neighbours((row, column): Cell) -> [Cell; 4] {
    [
        (row.wrapping_sub(1), column),
        (row + 1, column),
        (row, column.wrapping_sub(1)),
        (row, column + 1),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: Maze = Maze::new(&["#####", "#...#", "#.#.#", "#...#", "#####"]);

    #[test]
    fn a_way_is_shortest_and_goes_from_cell_to_neighbouring_cell() {
        let way = RING.way((1, 1), (3, 2));
        assert_eq!(way, [(1, 1), (2, 1), (3, 1), (3, 2)]);
        assert_eq!(RING.way((2, 1), (2, 1)), [(2, 1)]);
        assert_eq!(RING.way((1, 1), (3, 3)).len(), 5);
    }

    #[test]
    fn there_is_no_path_from_or_into_a_wall() {
        assert!(RING.way((1, 1), (2, 2)).is_empty());
        assert!(RING.way((0, 0), (1, 1)).is_empty());
        assert!(RING.way((9, 9), (1, 1)).is_empty());
        let split = Maze::new(&["#####", "#.#.#", "#####"]);
        assert!(split.way((1, 1), (1, 3)).is_empty());
    }

    #[test]
    fn open_cells_are_those_without_a_wall() {
        assert_eq!(RING.open_cells().len(), 8);
        assert_eq!(RING.size(), (5, 5));
    }
}
