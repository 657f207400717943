// The optimisers; a parameter a thread. See `optim.rs` for the formulas.

struct Step {
    // Of SGD: the learning rate; of Adam: the learning rate / (1 - beta1^t).
    rate: f32,
    // 1 / sqrt(1 - beta2^t)
    root_correction: f32,
    parameters: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(3) var<storage, read_write> first_moment: array<f32>;
@group(0) @binding(4) var<storage, read_write> second_moment: array<f32>;

@compute @workgroup_size(THREADS)
fn sgd(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let index = thread_index(id, workgroups);
    if index < step.parameters {
        parameters[index] -= step.rate * gradient[index];
    }
}

@compute @workgroup_size(THREADS)
fn adam(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let index = thread_index(id, workgroups);
    if index < step.parameters {
        let g = gradient[index];
        let m = BETA1 * first_moment[index] + (1.0 - BETA1) * g;
        let v = BETA2 * second_moment[index] + (1.0 - BETA2) * (g * g);
        first_moment[index] = m;
        second_moment[index] = v;
        parameters[index] -= step.rate * m / (sqrt(v) * step.root_correction + EPSILON);
    }
}
