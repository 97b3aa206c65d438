//! Matrices as nested arrays, the form they have in JSON.

use nalgebra::SMatrix;

/// The rows of a matrix, from top to bottom.
pub fn rows<const R: usize, const C: usize>(matrix: &SMatrix<f64, R, C>) -> [[f64; C]; R] {
    std::array::from_fn(|row| std::array::from_fn(|column| matrix[(row, column)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::Matrix2x3;

    #[test]
    fn rows_are_row_major() {
        let matrix = Matrix2x3::new(1.0, 2.0, 3.0, 4.0, 5.0, 6.0);
        assert_eq!(rows(&matrix), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    }
}
