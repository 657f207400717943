// Winograd's F(4x4, 3x3) (Lavin and Gray 2015, arXiv 1509.09308): a 3x3 convolution as 36 matrix products.
//
//     output tile = A^T [ (G w G^T) . (B^T x B) ] A,      w 3x3, x 6x6, tile 4x4
//
// with the products of all tiles and channels gathered into one matrix product for each of the 36 points (gemm.wgsl).
// The gradient of the input is the convolution of the output's gradient with the weights rotated and transposed; that
// of the weights is, from the same formula,
//
//     dw = G^T [ sum over tiles of (B^T x B) . (A dy A^T) ] G.
//
// Buffers: V [36, tiles, in_channels], U [36, in_channels, out_channels], M [36, tiles, out_channels].

// The points are 0, +-1/sqrt(2), +-sqrt(2) and infinity, as on the processor (`conv/winograd`): the textbook's 0, +-1,
// +-2 give four times the largest error. The even and the odd part of a polynomial serve both points of a pair.

const P = 0.70710678118654752f;
const Q = 1.4142135623730950f;

alias Points = array<f32, 6>;

// B^T x
fn transform_input(x: Points) -> Points {
    let even_p = x[4] - 2.0 * x[2];
    let odd_p = P * (x[3] - 2.0 * x[1]);
    let even_q = x[4] - 0.5 * x[2];
    let odd_q = Q * (x[3] - 0.5 * x[1]);
    return Points(
        x[0] + x[4] - 2.5 * x[2],
        even_p + odd_p,
        even_p - odd_p,
        even_q + odd_q,
        even_q - odd_q,
        x[1] + x[5] - 2.5 * x[3],
    );
}

// G w
fn transform_weights(w: vec3<f32>) -> Points {
    let even_p = -(2.0 * w.x + w.z) / 3.0;
    let odd_p = -2.0 / 3.0 * P * w.y;
    let even_q = w.x / 6.0 + w.z / 3.0;
    let odd_q = Q / 6.0 * w.y;
    return Points(w.x, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, w.z);
}

// A^T m
fn transform_output(m: Points) -> vec4<f32> {
    let even_p = m[1] + m[2];
    let odd_p = m[1] - m[2];
    let even_q = m[3] + m[4];
    let odd_q = m[3] - m[4];
    return vec4<f32>(
        m[0] + (even_p + even_q),
        P * odd_p + Q * odd_q,
        0.5 * even_p + 2.0 * even_q,
        0.5 * P * odd_p + 2.0 * Q * odd_q + m[5],
    );
}

// A y
fn transform_output_gradient(y: vec4<f32>) -> Points {
    let even_p = y.x + 0.5 * y.z;
    let odd_p = P * (y.y + 0.5 * y.w);
    let even_q = y.x + 2.0 * y.z;
    let odd_q = Q * (y.y + 2.0 * y.w);
    return Points(y.x, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, y.w);
}

// G^T u
fn transform_weight_gradient(u: Points) -> vec3<f32> {
    let even_p = u[1] + u[2];
    let odd_p = u[1] - u[2];
    let even_q = u[3] + u[4];
    let odd_q = u[3] - u[4];
    return vec3<f32>(
        u[0] - 2.0 / 3.0 * even_p + even_q / 6.0,
        Q / 6.0 * odd_q - 2.0 / 3.0 * P * odd_p,
        (even_q - even_p) / 3.0 + u[5],
    );
}

// Writes row `r` of the 36 points number `index` of `points`.
fn store_row(r: u32, points: u32, index: u32, row: Points) {
    var values = row;
    for (var c = 0u; c < 6u; c++) {
        result[(6u * r + c) * points + index] = values[c];
    }
}

// V from the input, or, for the input gradient, from the gradient of the output.
@compute @workgroup_size(THREADS)
fn input_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let points = tiles(layer) * layer.in_channels;
    if index >= points {
        return;
    }
    let place = place_of(layer, layer.in_channels, index);
    var columns: array<Points, 6>;
    for (var c = 0u; c < 6u; c++) {
        var x: Points;
        for (var r = 0u; r < 6u; r++) {
            // Below 0 wraps around and so lies outside too.
            let row = place.row + r - 1u;
            let column = place.column + c - 1u;
            x[r] = source_or_zero(layer.in_channels, place.image, row, column, place.channel);
        }
        columns[c] = transform_input(x);
    }
    for (var r = 0u; r < 6u; r++) {
        let v = transform_input(Points(
            columns[0][r], columns[1][r], columns[2][r], columns[3][r], columns[4][r], columns[5][r],
        ));
        store_row(r, points, index, v);
    }
}

// U from the weights, which lie in `source`, the arena of parameters.
@compute @workgroup_size(THREADS)
fn weight_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let points = layer.in_channels * layer.out_channels;
    if index >= points {
        return;
    }
    var stored = index;
    if layer.is_transposed == 1u {
        stored = index % layer.out_channels * layer.in_channels + index / layer.out_channels;
    }
    var columns: array<Points, 3>;
    for (var c = 0u; c < 3u; c++) {
        var w: vec3<f32>;
        for (var r = 0u; r < 3u; r++) {
            let tap = 3u * r + c;
            w[r] = source[layer.weights + select(tap, 8u - tap, layer.is_transposed == 1u) * points + stored];
        }
        columns[c] = transform_weights(w);
    }
    for (var r = 0u; r < 6u; r++) {
        let u = transform_weights(vec3<f32>(columns[0][r], columns[1][r], columns[2][r]));
        store_row(r, points, index, u);
    }
}

// The output from M, with bias, ReLU and skip connection; or the gradient of the input, with that of the skip.
@compute @workgroup_size(THREADS)
fn output_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let points = tiles(layer) * layer.out_channels;
    if index >= points {
        return;
    }
    let place = place_of(layer, layer.out_channels, index);
    var columns: array<vec4<f32>, 6>;
    for (var c = 0u; c < 6u; c++) {
        var m: Points;
        for (var r = 0u; r < 6u; r++) {
            m[r] = source[(6u * r + c) * points + index];
        }
        columns[c] = transform_output(m);
    }
    var passed = 0u;
    for (var r = 0u; r < TILE; r++) {
        let y = transform_output(Points(
            columns[0][r], columns[1][r], columns[2][r], columns[3][r], columns[4][r], columns[5][r],
        ));
        for (var c = 0u; c < TILE; c++) {
            passed |= finish(place, TILE * r + c, y[c]);
        }
    }
    if layer.has_relu == 1u {
        mask[index] = passed;
    }
}

// A dy A^T of every tile, [36, tiles, out_channels].
@compute @workgroup_size(THREADS)
fn output_gradient_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let points = tiles(layer) * layer.out_channels;
    if index >= points {
        return;
    }
    let place = place_of(layer, layer.out_channels, index);
    var columns: array<Points, 4>;
    for (var c = 0u; c < TILE; c++) {
        var y: vec4<f32>;
        for (var r = 0u; r < TILE; r++) {
            y[r] = source_or_zero(
                layer.out_channels, place.image, place.row + r, place.column + c, place.channel,
            );
        }
        columns[c] = transform_output_gradient(y);
    }
    for (var r = 0u; r < 6u; r++) {
        let d = transform_output_gradient(vec4<f32>(columns[0][r], columns[1][r], columns[2][r], columns[3][r]));
        store_row(r, points, index, d);
    }
}

// Adds the gradient of the weights, from that of U, to `result`, the arena of gradients.
@compute @workgroup_size(THREADS)
fn weight_gradient_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let points = layer.in_channels * layer.out_channels;
    if index >= points {
        return;
    }
    var columns: array<vec3<f32>, 6>;
    var largest = 0.0;
    for (var c = 0u; c < 6u; c++) {
        var u: Points;
        for (var r = 0u; r < 6u; r++) {
            u[r] = source[(6u * r + c) * points + index];
            largest = max(largest, abs(u[r]));
        }
        columns[c] = transform_weight_gradient(u);
    }
    for (var r = 0u; r < 3u; r++) {
        let dw = transform_weight_gradient(Points(
            columns[0][r], columns[1][r], columns[2][r], columns[3][r], columns[4][r], columns[5][r],
        ));
        for (var c = 0u; c < 3u; c++) {
            // What is smaller is rounding error, by which Adam would move the weight: see `conv/winograd/weights.rs`.
            if passes(abs(dw[c]) - NOISE * largest) {
                result[layer.weights + (3u * r + c) * points + index] += dw[c];
            }
        }
    }
}
