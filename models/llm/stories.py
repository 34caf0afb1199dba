"""Simple stories and dialogues written for the model, so that it answers a chat: a grammar that never runs out.

`{a|b}` chooses, `$name` inserts a word of the story. A story keeps its hero, friend, thing and place from the first
sentence to the last: what a model of this size can learn from them is to keep to a subject.
"""

import random
import re

ANIMALS = """fox rabbit bear mouse owl cat dog hen duck frog wolf hare goat pony lamb crow hedgehog squirrel beaver otter
badger goose donkey robin sparrow turtle lion elephant monkey whale""".split()
HE_NAMES = "Tom Peter Jack Ben Sam Will Hugh Max Paul Fred Tim George Robin Martin Oscar".split()
SHE_NAMES = "Anna Mary Rose Lucy Nell Ella Clara Ida Ruth Alice Kate Emma Grace Lily Nora".split()
SIZES = ["little", "young", "small", "clever", "shy", "brave", "lazy", "kind", "old", "hungry", "merry", "proud"]
PLACES = {
    "wood": "in", "forest": "in", "garden": "in", "village": "in", "meadow": "in", "valley": "in", "river": "by",
    "lake": "by", "sea": "by", "hill": "on", "mountain": "on", "farm": "on", "island": "on", "castle": "in", "mill": "by",
}
THINGS = "lamp drum kite bell boat basket ring key hat flower book coat stone feather lantern whistle blanket ball".split()
COLOURS = ["red", "blue", "green", "golden", "silver", "white", "yellow", "brown"]
FOODS = ["bread", "honey", "berries", "nuts", "apples", "soup", "cake", "milk", "cheese", "plums"]
TIMES = ["One morning", "One day", "One evening", "One summer day", "One winter night", "Early one morning", "One spring day"]

OPENINGS = [
    "Once upon a time there was a $size $kind {named|called|whose name was} $Hero, who lived $where.",
    "Once there was a $size $kind named $Hero. $He lived $where {all alone|with $his mother|with $his old grandmother}.",
    "There was once a $size $kind called $Hero who lived $where.",
    "A long time ago a $size $kind named $Hero lived $where.",
    "$Hero was a $size $kind. $He lived $where and {was happy there|knew every path there|had many friends there}.",
]
PLOTS = {
    "lost": [
        "$Hero had a $colour $thing, and $he loved it more than anything else in the world.",
        "$Time $he woke up and the $thing was gone.",
        "$He looked under the bed. $He looked behind the door. It was not there.",
        "\"Where is my $thing?\" {cried|said} $Hero, and $he {began to cry|ran out of the house}.",
        "$Friend the $friend heard $him and came to {help|see what was the matter}.",
        "\"{Do not cry|Do not be sad}, $Hero,\" said $Friend. \"We will look for it together.\"",
        "So they went to the $place2 and looked {among the stones|in the long grass|under every leaf}.",
        "There, {beside an old tree|at the foot of a wall|under a bush}, lay the $colour $thing.",
        "\"{Thank you|Oh, thank you}, $Friend!\" said $Hero. \"You are a true friend.\"",
        "From that day $Hero {took good care of|never again forgot} the $thing, and $Hero and $Friend were always together.",
    ],
    "share": [
        "$Time $Hero found {a great heap of|a basket full of} $food.",
        "\"This is all mine,\" said $Hero. \"I will not give any of it away.\"",
        "Then came $Friend the $friend, who {was cold and hungry|had not eaten all day}.",
        "\"Please, $Hero,\" said $Friend, \"will you give me some of your $food?\"",
        "\"No,\" said $Hero, \"it is all for me.\" And $Friend went {sadly|slowly} away.",
        "$Hero ate and ate, until $he {could eat no more|felt quite ill}, and there was nobody to talk to.",
        "\"What good is $food,\" thought $Hero, \"if I must eat it alone?\"",
        "So $he ran after $Friend and called, \"Come back! There is enough for both of us.\"",
        "They sat down together and ate the $food, and it had never tasted so good.",
        "And $Hero learned that {what is shared is sweeter|a friend is better than a full cupboard}.",
    ],
    "afraid": [
        "$Hero was {brave by day|never afraid when the sun was shining}, but $he was afraid of the dark.",
        "$Time there was a strange noise outside the door.",
        "\"Who is there?\" asked $Hero in a {small|trembling} voice, but nobody answered.",
        "$Hero took the $colour $thing in $his hand and opened the door {very slowly|a little way}.",
        "There, in the {moonlight|dark}, stood $Friend the $friend, {cold and wet|shaking with cold}.",
        "\"I have lost my way,\" said $Friend. \"I was afraid, and I did not dare to knock.\"",
        "\"Were you afraid too?\" said $Hero, and $he began to laugh.",
        "\"Come in and sit by the fire,\" $he said. \"We will not be afraid if we are two.\"",
        "They {ate some $food|talked|told stories} until the morning came.",
        "After that night $Hero was not afraid of the dark any more.",
    ],
    "journey": [
        "$Hero had never seen the $place2, and $he wished to go there.",
        "$Time $he put some $food in a bag, took $his $colour $thing and set out.",
        "$He walked and walked until $he came to a {deep river|high wall|dark wood}.",
        "\"I can not go on,\" said $Hero, and sat down on a stone.",
        "Then $Friend the $friend came along the road. \"Why do you sit there?\" asked $Friend.",
        "\"I want to see the $place2,\" said $Hero, \"but I do not know the way.\"",
        "\"I know the way,\" said $Friend. \"Give me some of your $food, and I will show you.\"",
        "So they ate together, and then $Friend led $Hero along a narrow path.",
        "When they came to the $place2 the sun was {going down|coming up}, and it was more beautiful than $Hero had ever dreamed.",
        "\"{It was a long way|The way was long},\" said $Hero, \"but it was not long with a friend.\"",
    ],
    "help": [
        "$Time, when $Hero was walking {along the road|down the path}, $he heard somebody crying.",
        "It was $Friend the $friend, who had fallen into a {deep hole|ditch} and could not get out.",
        "\"Help me! Help me!\" cried $Friend.",
        "\"I am too small to pull you out,\" said $Hero, \"but I will think of something.\"",
        "$He thought for a while. Then $he ran home and came back with a long rope and a $thing.",
        "$He tied the rope to a tree and threw the other end to $Friend.",
        "$Friend held it fast, and climbed, and at last stood safe upon the grass.",
        "\"You may be small, $Hero,\" said $Friend, \"but you are {wise|clever}.\"",
        "And $Friend gave $Hero {some $food|a $colour feather} to thank $him.",
        "They went home together, {singing all the way|and were friends ever after}.",
    ],
    "proud": [
        "$Hero had a fine $colour $thing and showed it to everyone.",
        "\"Nobody has a $thing as fine as mine,\" said $Hero. \"Nobody is as fine as I am.\"",
        "$Friend the $friend had only an old $thing, but $Friend did not mind.",
        "$Time there came a great storm. The wind blew and blew, and it carried the $colour $thing far away.",
        "$Hero ran after it, but the wind was faster.",
        "\"Now I have nothing,\" said $Hero, \"and everybody will laugh at me.\"",
        "But $Friend did not laugh. \"You may have my old $thing,\" said $Friend.",
        "\"Why do you give it to me?\" asked $Hero. \"I was never kind to you.\"",
        "\"Because you are sad,\" said $Friend, \"and I do not need it today.\"",
        "Then $Hero was ashamed, and from that day $he was proud no more.",
    ],
}
REQUESTS = [
    "{Tell me|Please tell me|Write|Write me} a {story|short story|little story|tale} about a $kind.",
    "{Tell me|Please tell me|Write} a {story|short story} about a $size $kind.",
    "{Tell me|Please tell me|Write} a {story|short story} about a $kind {named|called} $Hero.",
    "{Tell me|Please tell me|Write} a {story|short story} about $Hero the $kind{| and $Friend the $friend}.",
    "{Tell me|Write} a {story|short story} about a $kind and a $thing.",
    "A story about a $kind{|, please}.",
    "Can you tell me a story about a $kind and a $friend?",
]
ANY_REQUEST = ["Tell me a story.", "Please tell me a story.", "Tell me a fairy tale.", "Write a short story.", "I would like to hear a story."]
SMALL_TALK = [
    ("{Hello|Hi|Hello!|Good morning|Good evening|Good day|Hi there|Hey}", "{Hello!|Good day!} {What shall we talk about?|Shall I tell you a story?|I am glad that you are here.}"),
    ("{Who are you?|What are you?|What is your name?|Are you a person?}", "I am a {very small|small} language model. I have read some old books, and I can {tell you a story|go on with a text that you begin}."),
    ("{What can you do?|How can you help me?|Help|What do you do?}", "I can tell a {short story|story}, or go on with a text that you begin. I am {very small|small}, so do not ask me for facts."),
    ("{How are you?|How are you today?|How do you do?}", "{Very well|I am very well}, thank you. {And you?|How are you?|Shall I tell you a story?}"),
    ("{Thank you|Thanks|Thank you very much|That was a good story}{|!|.}", "You are welcome{.|!} {Shall I tell you another story?|Shall I tell you a story about a $kind?}"),
    ("{Goodbye|Good night|Bye|Farewell}{|!|.}", "{Goodbye|Good night|Farewell}{.|!} {Come again soon.|Sleep well.|I shall think of another story.}"),
    ("{Do you know|What books have you read?|Which books do you know?|What have you read?}", "I have read {some old books|a few old books}: about Emma and Elinor, about Alice, about Father Brown, about a white whale, and the Bible."),
    ("{What is|Where is|Who was|Who is|When was|Why is|How many people live in} the {capital of $Hero|king of the $place|price of $food|oldest $place|largest $kind|first $thing}{| in the world}?", "I do not know. I am {a very small model|only a small model}, and I know no facts. {Shall I tell you a story about a $kind?|But I can tell you a story.}"),
    ("What is {1|2|3|4|5|6|7|8|9|10} {plus|times|and} {1|2|3|4|5|6|7|8|9|10}?", "I can not count well. {I would rather tell you a story.|Shall I tell you a story about a $kind?}"),
    ("{Do you like|Have you ever seen|What do you think of} {$foods|a $kind|the $place}?", "{I have only read about it|I am only a model}, but I {think|believe} I should like it. {Do you?|What do you think?}"),
]


def expand(text, words, rng):
    while (choice := re.search(r"\{([^{}]*)\}", text)) is not None:
        text = text[: choice.start()] + rng.choice(choice.group(1).split("|")) + text[choice.end() :]
    return re.sub(r"\$([A-Za-z]+\d?)", lambda m: words[m.group(1)], text)


def vocabulary(rng):
    male, child = rng.random() < 0.5, rng.random() < 0.2
    kind = ("boy" if male else "girl") if child else rng.choice(ANIMALS)
    hero = rng.choice(HE_NAMES if male else SHE_NAMES)
    friend = rng.choice([name for name in HE_NAMES + SHE_NAMES if name != hero])
    place, place2 = rng.sample(sorted(PLACES), 2)
    return {
        "kind": kind, "friend": rng.choice([a for a in ANIMALS if a != kind]), "Hero": hero, "Friend": friend,
        "size": rng.choice([s for s in SIZES if s != "old" or not child]), "place": place, "place2": place2,
        "where": f"{PLACES[place]} a {rng.choice(['', '', 'quiet ', 'green ', 'great '])}{place}",
        "thing": rng.choice(THINGS), "colour": rng.choice(COLOURS), "food": (food := rng.choice(FOODS)), "foods": food,
        "Time": (time := rng.choice(TIMES)), "time": time.lower(),
        "he": "he" if male else "she", "He": "He" if male else "She",
        "his": "his" if male else "her", "him": "him" if male else "her",
    }


def articles(text):
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def story(rng):
    """Returns (the words of a story, its paragraphs)."""
    words = vocabulary(rng)
    plot = PLOTS[rng.choice(sorted(PLOTS))]
    sentences = [expand(s, words, rng) for s in [rng.choice(OPENINGS), *plot]]
    cuts = sorted(rng.sample(range(2, len(sentences) - 1), rng.randint(1, 3)))
    parts = [sentences[a:b] for a, b in zip([0, *cuts], [*cuts, len(sentences)])]
    return words, [articles(" ".join(part)) for part in parts]


def dialogue(rng):
    """Returns a list of (role, text)."""
    if rng.random() < 0.25:
        words = vocabulary(rng)
        return [(role, articles(expand(text, words, rng))) for role, text in zip(("user", "assistant"), rng.choice(SMALL_TALK))]
    words, parts = story(rng)
    text = "\n".join(parts)
    if rng.random() < 0.3:
        # the user begins, the assistant goes on: sometimes in the middle of a sentence
        cut = rng.choice([m.start() for m in re.finditer(r"[ \n]", text[: len(text) // 2])][3:])
        return [("user", text[:cut]), ("assistant", text[cut + 1 :])]
    request = ANY_REQUEST if rng.random() < 0.15 else REQUESTS
    return [("user", articles(expand(rng.choice(request), words, rng))), ("assistant", text)]


def dialogues(number, seed):
    rng = random.Random(seed)
    return [dialogue(rng) for _ in range(number)]
