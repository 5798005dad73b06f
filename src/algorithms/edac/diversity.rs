//! EDAC's diversity term: the similarity of the critics' gradients with respect to an action.

/// Added to each gradient's length.
const FLOOR: f32 = 1e-10;

/// `mean_rows sum_{n != m} h_n h_m / (N - 1)` with h = g / (|g| + 1e-10), and its gradient at g
/// times `weight`. `gradients` are members x rows x `width`, and so are `cotangents`.
pub(super) fn forward_and_backward(
    (members, width): (usize, usize),
    weight: f32,
    gradients: &[f32],
    cotangents: &mut Vec<f32>,
) -> f64 {
    cotangents.clear();
    cotangents.resize(gradients.len(), 0.0);
    let rows = gradients.len() / (members * width).max(1);
    let pairs = (members.max(2) - 1) as f32;
    let factor = 2.0 * weight / (pairs * rows.max(1) as f32);
    let mut total = 0.0_f64;
    let mut sum = vec![0.0_f32; width];
    for row in 0..rows {
        let place = |member: usize| {
            let start = (member * rows + row) * width;
            start..start + width
        };
        sum.fill(0.0);
        let mut own = 0.0_f32;
        // Directions first; they are stored in `cotangents` for now.
        for member in 0..members {
            let g = &gradients[place(member)];
            let scale = 1.0 / (length(g) + FLOOR);
            let directions = cotangents[place(member)].iter_mut().zip(g).zip(&mut sum);
            for ((direction, g), sum) in directions {
                *direction = scale * g;
                *sum += *direction;
                own += *direction * *direction;
            }
        }
        let all: f32 = sum.iter().map(|x| x * x).sum();
        total += f64::from(all - own);
        for member in 0..members {
            let g = &gradients[place(member)];
            let length = length(g);
            let scale = 1.0 / (length + FLOOR);
            let to = &mut cotangents[place(member)];
            for (to, sum) in to.iter_mut().zip(&sum) {
                // The gradient of the direction.
                *to = factor * (sum - *to);
            }
            let along: f32 = to.iter().zip(g).map(|(d, g)| d * g).sum();
            // For a gradient of length 0, PyTorch defines the derivative of the length as 0.
            let inverse = if length > 0.0 { 1.0 / length } else { 0.0 };
            for (to, g) in to.iter_mut().zip(g) {
                *to = scale * (*to - scale * along * inverse * g);
            }
        }
    }
    total / (f64::from(pairs) * rows.max(1) as f64)
}

fn length(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtg_kernels::testing::{assert_gradient, numbers, to_f64};

    fn reference(members: usize, width: usize, gradients: &[f64]) -> f64 {
        let rows = gradients.len() / (members * width);
        let direction = |member: usize, row: usize| -> Vec<f64> {
            let g = &gradients[(member * rows + row) * width..][..width];
            let length = g.iter().map(|x| x * x).sum::<f64>().sqrt();
            g.iter().map(|x| x / (length + 1e-10)).collect()
        };
        let mut sum = 0.0;
        for row in 0..rows {
            for n in 0..members {
                for m in (0..members).filter(|m| *m != n) {
                    let (a, b) = (direction(n, row), direction(m, row));
                    sum += a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>();
                }
            }
        }
        sum / (members as f64 - 1.0) / rows as f64
    }

    #[test]
    fn it_is_the_sum_over_pairs_and_its_gradient_the_finite_difference() {
        for members in [2, 5] {
            let (width, weight) = (3, 1.5);
            let gradients = numbers(1, members * 4 * width);
            let mut cotangents = Vec::new();
            let found = forward_and_backward((members, width), weight, &gradients, &mut cotangents);
            let exact = to_f64(&gradients);
            let expected = reference(members, width, &exact);
            assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
            // In f64: a central difference of the reference.
            let step = 1e-5;
            let slopes: Vec<f64> = (0..exact.len())
                .map(|at| {
                    let moved = |by: f64| {
                        let mut moved = exact.clone();
                        moved[at] += by;
                        reference(members, width, &moved)
                    };
                    f64::from(weight) * (moved(step) - moved(-step)) / (2.0 * step)
                })
                .collect();
            for (found, slope) in cotangents.iter().zip(&slopes) {
                assert!((f64::from(*found) - slope).abs() < 1e-5, "{found}, {slope}");
            }
            assert_gradient(&exact, &slopes, |gradients| {
                f64::from(weight) * reference(members, width, gradients)
            });
        }
    }

    #[test]
    fn a_gradient_of_length_zero_stays_finite() {
        let mut cotangents = Vec::new();
        let found = forward_and_backward((2, 2), 1.0, &[0.0, 0.0, 1.0, 2.0], &mut cotangents);
        assert!(found.abs() < 1e-6 && cotangents.iter().all(|x| x.is_finite()));
    }
}
