/* C++17 over alrc.h: alrc::Alrc<float> and alrc::Alrc<double> are values, initialised as soon as they exist, that can be
 * copied, kept in containers and let go; nothing needs to be released. A status other than ALRC_OK is thrown.
 *
 *     alrc::Alrc<float> alrc;
 *     auto [loss, scale] = alrc.step(30.0f);
 *
 * alrc.h says what each function does and what its arguments may be. */
#ifndef ALRC_HPP
#define ALRC_HPP

#include "alrc.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <stdexcept>

namespace alrc {

/// A status that is not ALRC_OK, with its message.
class Error : public std::runtime_error {
public:
    explicit Error(alrc_status status) : std::runtime_error(alrc_status_message(status)), status_(status) {}

    alrc_status status() const noexcept { return status_; }

private:
    alrc_status status_;
};

namespace detail {

inline void check(alrc_status status) {
    if (status != ALRC_OK) {
        throw Error(status);
    }
}

/// The names of alrc.h for a floating-point type.
template <class Real>
struct Api;

#define ALRC_API(real, name)                                          \
    template <>                                                       \
    struct Api<real> {                                                \
        using State = name;                                           \
        using Config = name##_config;                                 \
        using Limits = name##_limits;                                 \
        using Sums = name##_sums;                                     \
        using Report = name##_report;                                 \
        static constexpr auto config_default = name##_config_default; \
        static constexpr auto init = name##_init;                     \
        static constexpr auto step = name##_step;                     \
        static constexpr auto step_batch = name##_step_batch;         \
        static constexpr auto get_limits = name##_get_limits;         \
        static constexpr auto clip = name##_clip;                     \
        static constexpr auto sums_merge = name##_sums_merge;         \
        static constexpr auto update = name##_update;                 \
        static constexpr auto moments = name##_moments;               \
        static constexpr auto save = name##_save;                     \
        static constexpr auto load = name##_load;                     \
    }
ALRC_API(float, alrc_f32);
ALRC_API(double, alrc_f64);
#undef ALRC_API

/// Where a container's numbers are. Throws ALRC_ERROR_LENGTH unless there is one for each loss.
template <class Container>
auto data(Container &container, std::size_t len) {
    if (std::size(container) != len) {
        throw Error(ALRC_ERROR_LENGTH);
    }
    return std::data(container);
}

}  // namespace detail

/// A loss within the limits, and the factor of its gradient.
template <class Real>
struct Clipped {
    Real loss, scale;
};

template <class Real>
using Config = typename detail::Api<Real>::Config;

template <class Real>
using Report = typename detail::Api<Real>::Report;

/// The published parameters.
template <class Real>
Config<Real> default_config() {
    Config<Real> config;
    detail::check(detail::Api<Real>::config_default(&config));
    return config;
}

/// The sums of (a part of) a step's losses. `a += b` takes in those of another part.
template <class Real>
struct Sums : detail::Api<Real>::Sums {
    Sums &operator+=(const Sums &other) {
        detail::check(detail::Api<Real>::sums_merge(this, &other));
        return *this;
    }
};

/// The limits of one step.
template <class Real>
struct Limits : detail::Api<Real>::Limits {
    /// `clipped` and `scales` may be null, and `clipped` may be `losses`.
    Sums<Real> clip(const Real *losses, Real *clipped, Real *scales, std::size_t len) const {
        Sums<Real> sums;
        detail::check(detail::Api<Real>::clip(this, losses, clipped, scales, len, &sums));
        return sums;
    }

    /// Of anything with std::data and std::size, such as std::vector, std::array and std::span.
    template <class Losses, class Values, class Scales>
    Sums<Real> clip(const Losses &losses, Values &&clipped, Scales &&scales) const {
        const std::size_t len = std::size(losses);
        return clip(std::data(losses), detail::data(clipped, len), detail::data(scales, len), len);
    }
};

/// Parameters and running moments.
template <class Real>
class Alrc {
    using Api = detail::Api<Real>;

public:
    using Snapshot = std::array<std::uint8_t, ALRC_SNAPSHOT_LEN>;

    /// The state before the first step.
    explicit Alrc(const Config<Real> &config = default_config<Real>()) {
        detail::check(Api::init(&state_, &config));
    }

    /// The state of a snapshot.
    static Alrc load(const std::uint8_t *bytes, std::size_t len) {
        Alrc alrc;
        detail::check(Api::load(&alrc.state_, bytes, len));
        return alrc;
    }

    static Alrc load(const Snapshot &snapshot) { return load(snapshot.data(), snapshot.size()); }

    Snapshot save() const {
        Snapshot snapshot;
        detail::check(Api::save(&state_, snapshot.data(), snapshot.size()));
        return snapshot;
    }

    Clipped<Real> step(Real loss) {
        Clipped<Real> clipped;
        detail::check(Api::step(&state_, loss, &clipped.loss, &clipped.scale));
        return clipped;
    }

    /// `clipped` and `scales` may be null, and `clipped` may be `losses`.
    Report<Real> step_batch(const Real *losses, Real *clipped, Real *scales, std::size_t len) {
        Report<Real> report;
        detail::check(Api::step_batch(&state_, losses, clipped, scales, len, &report));
        return report;
    }

    /// Of anything with std::data and std::size, such as std::vector, std::array and std::span.
    template <class Losses, class Values, class Scales>
    Report<Real> step_batch(const Losses &losses, Values &&clipped, Scales &&scales) {
        const std::size_t len = std::size(losses);
        return step_batch(std::data(losses), detail::data(clipped, len), detail::data(scales, len), len);
    }

    Limits<Real> limits() const {
        Limits<Real> limits;
        detail::check(Api::get_limits(&state_, &limits));
        return limits;
    }

    void update(const Sums<Real> &sums) { detail::check(Api::update(&state_, &sums)); }

    /// The running mean of the clipped losses.
    Real mu1() const { return moments()[0]; }

    /// The running mean of their squares.
    Real mu2() const { return moments()[1]; }

    /// The struct of alrc.h.
    const typename Api::State &state() const noexcept { return state_; }

private:
    std::array<Real, 2> moments() const {
        std::array<Real, 2> moments;
        detail::check(Api::moments(&state_, &moments[0], &moments[1]));
        return moments;
    }

    typename Api::State state_;
};

}  // namespace alrc

#endif  // ALRC_HPP
