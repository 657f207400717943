//! The published rule (`alrc.py`) as it stands, in float32, for comparison.

/// Raw moments; each operation rounds to float32 as TensorFlow's does.
pub(crate) struct Published {
    pub(crate) num_stddev: f32,
    pub(crate) decay: f32,
    pub(crate) mu1: f32,
    pub(crate) mu2: f32,
}

impl Published {
    /// With the published parameters.
    pub(crate) fn new() -> Self {
        Self { num_stddev: 3.0, decay: 0.999, mu1: 25.0, mu2: 900.0 }
    }

    pub(crate) fn limit(&self) -> f32 {
        self.mu1 + self.num_stddev * (self.mu2 - self.mu1 * self.mu1 + 1e-8).sqrt()
    }

    /// The clipped loss and the scale of its gradient.
    pub(crate) fn step(&mut self, loss: f32) -> (f32, f32) {
        let limit = self.limit();
        let (clipped, scale) = if loss < limit { (loss, 1.0) } else { (limit, limit / loss) };
        // `1. - decay` is a constant of the published graph, rounded to float32 from a double.
        let weight = (1.0 - f64::from(self.decay)) as f32;
        self.mu1 = self.decay * self.mu1 + weight * clipped;
        self.mu2 = self.decay * self.mu2 + weight * (clipped * clipped);
        (clipped, scale)
    }
}
