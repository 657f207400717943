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
// Buffers: V [36, tiles, in_channels], U [36, in_channels, out_channels], M [36, tiles, out_channels], with zeros for
// channels up to a multiple of 4: the matrix products read vectors.

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

// Channels of a transformed buffer.
fn padded(channels: u32) -> u32 {
    return (channels + 3u) / 4u * 4u;
}

// Writes row `r` of the 36 points number `index` of `points`.
fn store_row(r: u32, points: u32, index: u32, row: Points) {
    // unroll c: 6
    result[(6u * r + $c) * points + index] = row[$c];
    // end c
}

// V from the input, or, for the input gradient, from the gradient of the output.
@compute @workgroup_size(THREADS)
fn input_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let channels = padded(layer.in_channels);
    let points = tiles(layer) * channels;
    if index >= points {
        return;
    }
    let place = place_of(layer, channels, index);
    // Below 0 wraps around and so lies outside too.
    let row = place.row - 1u;
    let column = place.column - 1u;
    // unroll c: 6
    let column$c = transform_input(Points(
        // unroll r: 6
        source_or_zero(layer.in_channels, place.image, row + $r, column + $c, place.channel),
        // end r
    ));
    // end c
    // unroll r: 6
    let row$r = Points(column0[$r], column1[$r], column2[$r], column3[$r], column4[$r], column5[$r]);
    store_row($r, points, index, transform_input(row$r));
    // end r
}

// U from the weights, which lie in `source`, the arena of parameters.
@compute @workgroup_size(THREADS)
fn weight_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let outputs = padded(layer.out_channels);
    let points = padded(layer.in_channels) * outputs;
    if index >= points {
        return;
    }
    let input = index / outputs;
    let output = index % outputs;
    let is_there = input < layer.in_channels && output < layer.out_channels;
    // unroll c: 3
    var weights$c = vec3<f32>();
    if is_there {
        // unroll r: 3
        weights$c[$r] = source[weight_index(3u * $r + $c, input, output)];
        // end r
    }
    let column$c = transform_weights(weights$c);
    // end c
    // unroll r: 6
    store_row($r, points, index, transform_weights(vec3<f32>(column0[$r], column1[$r], column2[$r])));
    // end r
}

// The output from M, with bias, ReLU and skip connection; or the gradient of the input, with that of the skip.
@compute @workgroup_size(THREADS)
fn output_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    if index >= tiles(layer) * layer.out_channels {
        return;
    }
    let place = place_of(layer, layer.out_channels, index);
    let channels = padded(layer.out_channels);
    let points = tiles(layer) * channels;
    let at = index / layer.out_channels * channels + place.channel;
    // unroll c: 6
    let column$c = transform_output(Points(
        // unroll r: 6
        source[(6u * $r + $c) * points + at],
        // end r
    ));
    // end c
    finish_tile(place, index, mat4x4<f32>(
        // unroll r: TILE
        transform_output(Points(column0[$r], column1[$r], column2[$r], column3[$r], column4[$r], column5[$r])),
        // end r
    ));
}

// A dy A^T of every tile, [36, tiles, out_channels].
@compute @workgroup_size(THREADS)
fn output_gradient_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let channels = padded(layer.out_channels);
    let points = tiles(layer) * channels;
    if index >= points {
        return;
    }
    let place = place_of(layer, channels, index);
    // unroll c: TILE
    let column$c = transform_output_gradient(vec4<f32>(
        // unroll r: TILE
        source_or_zero(layer.out_channels, place.image, place.row + $r, place.column + $c, place.channel),
        // end r
    ));
    // end c
    // unroll r: 6
    let row$r = vec4<f32>(column0[$r], column1[$r], column2[$r], column3[$r]);
    store_row($r, points, index, transform_output_gradient(row$r));
    // end r
}

// Adds the gradient of the weights, from that of U, to `result`, the arena of gradients.
@compute @workgroup_size(THREADS)
fn weight_gradient_transform(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    let index = thread_index(id, workgroups);
    let weights = layer.in_channels * layer.out_channels;
    if index >= weights {
        return;
    }
    let outputs = padded(layer.out_channels);
    let points = padded(layer.in_channels) * outputs;
    let at = index / layer.out_channels * outputs + index % layer.out_channels;
    var largest = 0.0;
    // unroll c: 6
    let points$c = Points(
        // unroll r: 6
        source[(6u * $r + $c) * points + at],
        // end r
    );
    // unroll r: 6
    largest = max(largest, abs(points$c[$r]));
    // end r
    let column$c = transform_weight_gradient(points$c);
    // end c
    // unroll r: 3
    let row$r = transform_weight_gradient(
        Points(column0[$r], column1[$r], column2[$r], column3[$r], column4[$r], column5[$r]),
    );
    // unroll c: 3
    // What is smaller is rounding error, by which Adam would move the weight: see `conv/winograd/weights.rs`.
    if passes(abs(row$r[$c]) - NOISE * largest) {
        result[layer.weights + (3u * $r + $c) * weights + index] += row$r[$c];
    }
    // end c
    // end r
}
