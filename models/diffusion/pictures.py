"""Pictures of one shape on a background, drawn from distances, with what is to be said of them."""

import numpy as np

SIZE = 32
COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (252, 211, 40),
    "green": (56, 150, 60),
    "blue": (40, 90, 210),
    "purple": (124, 50, 160),
    "pink": (250, 140, 190),
    "brown": (120, 70, 35),
    "grey": (128, 132, 138),
    "white": (245, 245, 245),
    "black": (24, 24, 28),
}
# the words of each field; place 0 is for what is not said
FIELDS = {
    "size": ("small", "medium", "large"),
    "colour": tuple(COLOURS),
    "shape": ("circle", "square", "triangle", "diamond", "star", "heart", "moon", "ring", "cross", "flower"),
    "background": tuple(COLOURS),
}
# radii in pixels
RADII = ((6.0, 7.0), (8.5, 10.0), (11.5, 13.0))
# pixels that a shape may be off the middle
OFF = 2.5
# one in so many combinations of colour, shape and background is never trained on
UNSEEN = 10


def polygon(x, y, corners):
    """Distance from a polygon around the origin, negative inside; corners by angle, counted once around."""
    far, inside = np.full(x.shape, np.inf), np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, 0)):
        dx, dy, px, py = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
        far = np.minimum(far, np.hypot(px - along * dx, py - along * dy))
        inside ^= ((ay > y) != (by > y)) & (x < dx * (y - ay) / (dy if dy else 1e-9) + ax)
    return np.where(inside, -far, far)


def star(points, inner):
    angles = np.arange(2 * points) * np.pi / points - np.pi / 2
    radii = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)


def heart():
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 15.5, (y + 2.5) / 15.5], 1)


HEART, STAR, TRIANGLE = heart(), star(5, 0.45), star(3, 0.5)[::2] + np.array([0.0, 0.2])
SQUARE = 0.86 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float)
DIAMOND = np.array([(0, -1.05), (0.7, 0), (0, 1.05), (-0.7, 0)], float)
CROSS = np.array(
    [(a * s, b * t) for s, t, pairs in ((1, -1, 0), (1, 1, 1), (-1, 1, 0), (-1, -1, 1))
     for a, b in (((0.34, 1), (0.34, 0.34), (1, 0.34)) if not pairs else ((1, 0.34), (0.34, 0.34), (0.34, 1)))]
)


def distance(shape, x, y):
    """Distance from a shape of radius 1, in radii, negative inside; y grows downwards."""
    r = np.hypot(x, y)
    if shape == "circle":
        return r - 0.95
    if shape == "ring":
        return np.abs(r - 0.75) - 0.25
    if shape == "moon":
        return np.maximum(r - 1, 0.85 - np.hypot(x - 0.5, y + 0.2))
    if shape == "flower":
        petals = [np.hypot(x - 0.6 * np.sin(a), y + 0.6 * np.cos(a)) - 0.4 for a in np.arange(5) * 2 * np.pi / 5]
        return np.minimum(np.min(petals, 0), r - 0.35)
    corners = {"square": SQUARE, "triangle": TRIANGLE, "diamond": DIAMOND, "star": STAR, "heart": HEART, "cross": CROSS}
    return polygon(x, y, corners[shape])


def draw(words, rng):
    """A picture `[3, SIZE, SIZE]` of -1 to 1 from what is said, by place in FIELDS from 0."""
    size, colour, shape, background = words
    radius = rng.uniform(*RADII[size])
    room = min(OFF, SIZE / 2 - radius - 1.5)
    centre = SIZE / 2 + rng.uniform(-room, room, 2)
    turn = rng.uniform(-0.1, 0.1)
    at = np.arange(SIZE) + 0.5

    def coverage(shift, soft):
        x, y = np.meshgrid(at - centre[0] - shift, at - centre[1] - shift)
        x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        name = FIELDS["shape"][shape]
        return np.clip(0.5 - radius * distance(name, x / radius, y / radius) / soft, 0, 1)

    down, across = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    paint = lambda c: np.array(list(COLOURS.values())[c], float)[:, None, None] + rng.normal(0, 5, 3)[:, None, None]
    ground = paint(background) * (1 - 0.10 * down) * (1 - 0.35 * coverage(1.6, 3.5))
    # light from the upper left
    light = (at[None, :] - centre[0] + at[:, None] - centre[1]) / radius
    body = paint(colour) * (1 - 0.13 * light) + 14 * np.clip(-light - 0.2, 0, 1)
    if FIELDS["shape"][shape] == "flower":
        x, y = np.meshgrid(at - centre[0], at - centre[1])
        heart_of_it = np.clip(0.5 + (0.3 * radius - np.hypot(x, y)), 0, 1)
        body = body * (1 - 0.35 * heart_of_it)
    part = coverage(0, 1.0)
    return (np.clip(ground + (body - ground) * part, 0, 255) / 127.5 - 1).astype(np.float32)


def seen(words):
    """Whether a combination belongs to the training."""
    _, colour, shape, background = words
    return (colour * 7 + shape * 3 + background) % UNSEEN != 0


def sample(number, rng, training=True):
    """`number` pictures with their words; none of a shape on its own colour."""
    words = []
    while len(words) < number:
        w = [rng.integers(len(v)) for v in FIELDS.values()]
        if w[1] != w[3] and seen(w) == training:
            words.append(w)
    return np.stack([draw(w, rng) for w in words]), np.array(words)
