"""Words of the rule-written texts: several ways to say each action, emotion and degree, and scenarios of each emotion.

MMHead predefines seven texts for each of its laboratory actions; so does this table.
"""

from __future__ import annotations

SUBJECTS = ("A person", "Someone", "The person", "The speaker")
SILENT_SUBJECTS = ("A person", "Someone", "The person")

ACTIONS: dict[str, tuple[str, ...]] = {
    "talk": ("is talking", "is speaking", "says something", "talks to the listener", "is in the middle of speaking",
             "speaks a few words", "is telling something"),
    "sing": ("is singing", "sings a melody", "sings a few notes", "is performing a song", "holds long sung notes",
             "is chanting a tune", "sings to the listener"),
    "make a face": ("makes a facial expression", "is making a face", "shows an expression", "moves the face without a "
                    "word", "poses an expression", "lets the face change silently", "plays with the face"),
    "rest": ("is silent", "stays quiet", "is listening", "rests the face", "waits without speaking", "keeps quiet",
             "looks on in silence"),
    "nod": ("nods", "nods the head", "gives a nod", "nods in agreement", "bobs the head up and down", "is nodding",
            "answers with a nod"),
    "shake": ("shakes the head", "is shaking the head", "turns the head from side to side", "shakes the head in denial",
              "says no with the head", "gives a shake of the head", "wags the head left and right"),
    "wink": ("winks", "gives a wink", "winks with one eye", "closes one eye for a moment", "winks at someone",
             "is winking", "throws a wink"),
    "frown": ("frowns", "is frowning", "gives a frown", "knits the brows", "scowls", "draws the brows together",
              "puts on a frown"),
    "yawn": ("yawns", "is yawning", "gives a long yawn", "opens the mouth wide in a yawn", "yawns with closed eyes",
             "lets out a yawn", "cannot hold back a yawn"),
    "chew": ("chews", "is chewing", "chews on something", "eats something", "is chewing food", "works the jaw in "
             "chewing", "munches"),
    "laugh": ("laughs", "is laughing", "bursts out laughing", "laughs out loud", "breaks into laughter", "has a laugh",
              "shakes with laughter"),
    "smile": ("smiles", "gives a smile", "is smiling", "breaks into a smile", "lets the lip corners rise in a smile",
              "wears a smile", "beams"),
    "close eyes": ("closes the eyes", "shuts the eyes for a while", "keeps the eyes closed", "rests with closed eyes",
                   "lowers the lids", "lets the eyes fall shut", "holds the eyes shut"),
    "look around": ("looks around", "lets the gaze wander", "glances about", "looks from one side to the other",
                    "searches with the eyes", "scans the room", "moves the eyes about"),
    "kiss": ("blows a kiss", "puckers up for a kiss", "makes a kissing mouth", "purses the lips as for a kiss",
             "sends a kiss", "kisses the air", "forms a kiss with the lips"),
}  # fmt: skip

EMOTIONS: dict[str, tuple[str, ...]] = {
    "neutral": ("neutral", "emotionally neutral", "even-tempered", "matter-of-fact", "unmoved"),
    "happy": ("happy", "joyful", "cheerful", "glad", "delighted"),
    "sad": ("sad", "sorrowful", "downcast", "unhappy", "gloomy"),
    "angry": ("angry", "furious", "irritated", "enraged", "cross"),
    "surprised": ("surprised", "astonished", "amazed", "taken aback", "startled"),
    "afraid": ("afraid", "fearful", "scared", "frightened", "anxious"),
    "disgusted": ("disgusted", "repelled", "revolted", "sickened", "put off"),
    "contemptuous": ("contemptuous", "scornful", "disdainful", "dismissive", "haughty"),
    "excited": ("excited", "thrilled", "enthusiastic", "eager", "full of energy"),
    "calm": ("calm", "relaxed", "serene", "at peace", "composed"),
    "tired": ("tired", "sleepy", "worn out", "weary", "exhausted"),
    "confused": ("confused", "puzzled", "perplexed", "unsure", "bewildered"),
    "thoughtful": ("thoughtful", "pensive", "lost in thought", "reflective", "contemplative"),
    "playful": ("playful", "mischievous", "teasing", "cheeky", "full of fun"),
    "bored": ("bored", "uninterested", "listless", "indifferent", "weary of it all"),
}
EMOTION_FRAMES = ("{s} feels {a}{e}.", "{s} is {a}{e}.", "{s} looks {a}{e}.", "{s} seems {a}{e}.",
                  "{s} appears to be {a}{e}.", "{s} acts {a}{e}.", "{s} comes across as {a}{e}.")  # fmt: skip
DEGREES = (("slightly ", "a little ", "somewhat "), ("", "clearly ", "rather "), ("very ", "extremely ", "deeply "))
AMOUNTS = {
    1: ("barely", "just visibly"), 2: ("slightly", "a little", "gently"), 3: ("clearly", "noticeably", "visibly"),
    4: ("strongly", "a lot", "firmly"), 5: ("to the full", "as far as possible", "extremely"),
}  # fmt: skip
FIRST = ("At first, ", "To begin with, ", "In the beginning, ", "Initially, ")
THEN = ("then ", "after that, ", "next, ", "a moment later, ")
LAST = ("finally, ", "towards the end, ", "in the end, ", "at last, ")
WHOLE = ("Throughout, ", "All the time, ", "From start to end, ", "For the whole time, ")
STILL = ("The face hardly moves.", "The face stays at rest.", "There is hardly any expression.",
         "The features remain still.")  # fmt: skip
STRAIGHT = ("The head stays straight.", "The head is held straight and hardly moves.", "The head faces forward.",
            "The head keeps still, facing forward.")  # fmt: skip
BLINKS = ("the eyes blink {n}", "there {are} {n_blinks}", "the lids close {n}")
TIMES = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times"}
POSE_PHRASES = {
    "up": ("the head lifts", "the head goes up", "the chin rises"),
    "down": ("the head lowers", "the head goes down", "the chin drops"),
    "left": ("the head turns left", "the face turns to the left", "the head rotates to its left"),
    "right": ("the head turns right", "the face turns to the right", "the head rotates to its right"),
    "tilt left": ("the head tilts left", "the head leans to the left shoulder", "the head inclines to the left"),
    "tilt right": ("the head tilts right", "the head leans to the right shoulder", "the head inclines to the right"),
    "nod": ("the head nods", "the head goes up and down in nods", "the head nods a few times"),
    "shake": ("the head shakes", "the head turns left and right repeatedly", "the head shakes from side to side"),
}

SCENARIOS: dict[str, tuple[str, ...]] = {
    "neutral": (
        "Reading out a list of items at a desk.", "Giving the time to a passer-by.", "Dictating a short note.",
        "Explaining a routine task to a colleague.", "Confirming an appointment on the phone.",
        "Listening to an announcement at the station.", "Naming the stops on a bus route.",
        "Checking the items of an order.",
    ),
    "happy": (
        "Meeting an old friend at the airport.", "Hearing that an exam was passed.",
        "Opening a present from the family.", "Watching a child take its first steps.",
        "Celebrating a birthday with friends.", "Receiving good news by letter.", "Winning a small prize at a fair.",
        "Coming home after a long journey.",
    ),
    "sad": (
        "Saying goodbye to a friend who moves away.", "Hearing that a pet has died.", "Reading a farewell letter.",
        "Missing the family while far from home.", "Failing an examination after months of work.",
        "Looking at photographs of someone who is gone.", "Losing a treasured ring.", "Ending a friendship.",
    ),
    "angry": (
        "Being cut off in traffic.", "Finding that a promise was broken again.", "Arguing about an unfair bill.",
        "Discovering that someone lied.", "Being interrupted for the third time.",
        "Seeing one's work credited to another.", "Waiting for hours without an answer.", "Having a bicycle stolen.",
    ),
    "surprised": (
        "Walking into a surprise party.", "Hearing an unexpected job offer.", "Seeing a magician's trick up close.",
        "Meeting a former teacher abroad.", "Finding money in an old coat.",
        "Learning that a friend is getting married.", "Opening a box that should have been empty.",
        "Hearing a loud bang behind the door.",
    ),
    "afraid": (
        "Hearing footsteps in a dark house.", "Standing at the edge of a cliff.", "Waiting for a medical result.",
        "Meeting a barking dog in a narrow lane.", "Sitting in a plane during a storm.",
        "Getting lost in an unknown city at night.", "Facing an examiner without having studied.",
        "Seeing a spider on the pillow.",
    ),
    "disgusted": (
        "Opening a forgotten lunch box.", "Stepping into something on the pavement.", "Smelling sour milk.",
        "Finding a hair in the soup.", "Cleaning a blocked sink.", "Watching someone chew with an open mouth.",
        "Touching something slimy in the dark.", "Hearing the details of a spoiled meal.",
    ),
    "contemptuous": (
        "Listening to an obvious lie.", "Watching a rival boast.", "Hearing a poor excuse for the tenth time.",
        "Being lectured by someone who knows less.", "Seeing a cheat get applause.", "Reading a badly copied report.",
        "Meeting a person who flatters everyone.", "Being offered far too little for good work.",
    ),
    "excited": (
        "Boarding a plane for a long-awaited journey.", "Seeing one's team score in the last minute.",
        "Announcing the winner of a contest.", "Getting tickets for a favourite band.",
        "Starting a first day at a dream job.", "Standing before the curtain opens.",
        "Planning a wedding with friends.", "Unpacking a new instrument.",
    ),
    "calm": (
        "Sitting by a lake in the evening.", "Leading a breathing exercise.", "Reading a story at bedtime.",
        "Drinking tea on a quiet morning.", "Comforting a nervous friend.", "Listening to slow music.",
        "Walking through a garden after rain.", "Explaining something patiently to a child.",
    ),
    "tired": (
        "Ending a night shift.", "Getting up far too early.", "Studying late before an exam.",
        "Coming home from a long hike.", "Caring for a newborn through the night.",
        "Sitting in the last meeting of the day.", "Arriving after a flight of twelve hours.",
        "Waiting for the last bus.",
    ),
    "confused": (
        "Reading instructions that contradict each other.", "Hearing two versions of one story.",
        "Looking for a street that is not on the map.", "Being greeted by a stranger by name.",
        "Trying to follow a talk in a foreign language.", "Finding the furniture moved at home.",
        "Getting a bill for something never bought.", "Working on a puzzle with a missing piece.",
    ),
    "thoughtful": (
        "Weighing two job offers.", "Remembering a summer of long ago.", "Choosing words for a speech.",
        "Solving a riddle.", "Planning the next move in a game of chess.",
        "Thinking about a hard question in an interview.", "Deciding where to live.",
        "Listening to a friend's problem.",
    ),
    "playful": (
        "Teasing a friend over a lost bet.", "Hiding a surprise behind the back.", "Playing peekaboo with a toddler.",
        "Telling a joke with a straight face.", "Flirting at a party.", "Inventing a story for children.",
        "Daring a friend to a silly game.", "Imitating a cartoon figure.",
    ),
    "bored": (
        "Waiting in a long queue.", "Sitting through a meeting without end.", "Hearing the same story once more.",
        "Watching a slow match in the rain.", "Filling in forms all afternoon.",
        "Listening to a lecture known by heart.", "Being stuck on a train without a book.", "Minding an empty shop.",
    ),
}  # fmt: skip
