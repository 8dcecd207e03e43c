"""The words of the fifteen talking styles: what people write when they ask a face to look some way.

Our own table. ``mild`` and ``strong`` words carry their degree by themselves ("annoyed", "furious"); ``plain`` ones
take it from an adverb. A star marks a word that is never trained on: it measures what the encoder makes of words it
has not seen. A word belongs to one style only (checked when the table is read).
"""

from __future__ import annotations

RAW: dict[str, dict[str, str]] = {
    "neutral": {
        "plain": (
            "neutral ordinary plain normal everyday default usual matter-of-fact impartial objective "
            "unemotional* emotionless expressionless deadpan businesslike factual sober formal standard "
            "unbiased* natural regular"
        ),
        "mild": "",
        "strong": "",
        "adverbs": "neutrally normally plainly matter-of-factly objectively* impartially formally naturally",
        "nouns": "neutrality normality objectivity* plainness",
        "acts": "reading the news, stating the facts, giving information, reading aloud, reporting",
        "phrases": (
            "no emotion, without emotion, no expression, poker face, straight face, no particular style, just "
            "the facts, blank face, resting face"
        ),
        "other": "neutro neutre sachlich nüchtern normale 中性 平静陈述 普通 ふつう 普通の нейтральный neutraal",
    },
    "happy": {
        "plain": (
            "happy cheerful joyful glad merry jolly cheery sunny upbeat bright joyous smiley jovial* grinning "
            "smiling radiant lighthearted light-hearted genial* friendly warm festive delightful "
            "laughing good-humoured beaming buoyant lovely loving"
        ),
        "mild": "pleased content contented satisfied pleasant amiable* kind gratified* optimistic positive",
        "strong": "overjoyed ecstatic delighted elated blissful jubilant euphoric* exultant gleeful* rapturous",
        "adverbs": (
            "happily cheerfully joyfully gladly merrily cheerily brightly warmly joyously* jovially* kindly "
            "delightedly gleefully* contentedly"
        ),
        "nouns": (
            "happiness joy cheer cheerfulness* delight gladness bliss glee* merriment* mirth warmth pleasure "
            "contentment satisfaction euphoria love kindness smile laughter jubilation*"
        ),
        "acts": (
            "smiling, grinning, laughing, beaming, chuckling*, smiling broadly, laughing out loud, "
            "celebrating good news, greeting old friends, smiling warmly"
        ),
        "phrases": (
            "over the moon, on cloud nine, full of the joys of spring, in good spirits, in a good mood, with "
            "a big smile, with a grin, walking on sunshine, all smiles, lol, haha, yay, having a great day"
        ),
        "other": (
            "feliz alegre contento glücklich fröhlich heiter freudig heureux joyeux content felice allegro "
            "contenta blij vrolijk 开心 快乐 高兴 嬉しい 楽しい 幸せ счастливый весёлый радостный"
        ),
    },
    "sad": {
        "plain": (
            "sad unhappy sorrowful mournful tearful gloomy melancholy melancholic downcast doleful* crying "
            "blue lonely miserable dejected* despondent weepy sombre glum woeful* forlorn unsmiling "
            "downhearted cheerless lonesome"
        ),
        "mild": (
            "disappointed wistful regretful subdued low-spirited sorry nostalgic discouraged* apologetic "
            "rueful*"
        ),
        "strong": (
            "heartbroken devastated grief-stricken depressed inconsolable desolate* distraught sobbing "
            "anguished* despairing hopeless wretched broken-hearted"
        ),
        "adverbs": (
            "sadly unhappily sorrowfully mournfully tearfully gloomily* miserably dejectedly* glumly "
            "despondently wistfully regretfully"
        ),
        "nouns": (
            "sadness sorrow grief melancholy gloom misery despair heartbreak heartache* mourning regret "
            "disappointment unhappiness* depression loneliness tears woe* anguish"
        ),
        "acts": (
            "crying, weeping*, sobbing, mourning, grieving, holding back tears, frowning sadly, delivering "
            "bad news, saying a last goodbye, at a funeral"
        ),
        "phrases": (
            "in tears, close to tears, down in the dumps, feeling blue, with a heavy heart, with a broken "
            "heart, in a bad way, full of regret, on the verge of tears, so sorry"
        ),
        "other": (
            "triste traurig betrübt unglücklich malheureux mélancolique tristezza tristeza tristesse "
            "verdrietig droevig 悲伤 难过 伤心 悲しい 寂しい грустный печальный"
        ),
    },
    "angry": {
        "plain": (
            "angry mad hostile aggressive heated fuming irate* wrathful* hot-tempered bitter resentful "
            "indignant quarrelsome shouting scowling threatening vengeful harsh stern combative* fierce"
        ),
        "mild": (
            "annoyed irritated grumpy irritable cranky* displeased frustrated impatient snappy tetchy* miffed "
            "exasperated vexed peeved* bothered upset"
        ),
        "strong": "furious enraged raging livid* outraged seething infuriated* incensed explosive apoplectic",
        "adverbs": (
            "angrily furiously crossly madly aggressively irritably* indignantly fiercely wrathfully* "
            "bitterly impatiently resentfully heatedly sternly harshly"
        ),
        "nouns": (
            "anger rage fury wrath* irritation annoyance outrage hostility aggression frustration resentment "
            "indignation exasperation* ire temper"
        ),
        "acts": (
            "shouting, yelling*, ranting, scolding, snarling, arguing, raging, losing patience, complaining "
            "loudly, scowling, telling somebody off"
        ),
        "phrases": (
            "fed up, seeing red, at the end of my patience, boiling with rage, losing my temper, hopping mad, "
            "pissed off, up in arms, about to explode, in a rage, in a bad temper"
        ),
        "other": (
            "wütend zornig böse ärgerlich sauer enojado furioso enfadado fâché furieux en colère arrabbiato "
            "irato boos kwaad zangado bravo 生气 愤怒 怒った 怒り злой сердитый"
        ),
    },
    "surprised": {
        "plain": (
            "surprised amazed startled astonished* wide-eyed unprepared incredulous disbelieving awestruck "
            "open-mouthed gasping taken-aback"
        ),
        "mild": "unsuspecting caught-out impressed unexpecting",
        "strong": (
            "shocked stunned astounded* flabbergasted dumbfounded* thunderstruck gobsmacked speechless "
            "staggered"
        ),
        "adverbs": "surprisedly amazedly incredulously astonishedly* unexpectedly disbelievingly",
        "nouns": "surprise amazement astonishment* shock disbelief wonder awe incredulity* wonderment",
        "acts": (
            "gasping, raising both eyebrows, staring in disbelief, opening a surprise present, dropping the "
            "jaw, hearing unbelievable news"
        ),
        "phrases": (
            "taken aback, caught off guard, out of the blue, cannot believe it, i did not see that coming, oh "
            "my god, omg, wow, no way, jaw on the floor, what a surprise, eyes wide open"
        ),
        "other": (
            "überrascht erstaunt verblüfft sorprendido asombrado surpris étonné stupéfait sorpreso stupito "
            "verrast verbaasd surpreso 惊讶 吃惊 驚いた びっくり удивлённый изумлённый"
        ),
    },
    "afraid": {
        "plain": (
            "afraid scared fearful frightened timid* worried anxious nervous alarmed timorous* trembling "
            "shaking threatened intimidated panicky paranoid cowering jittery* haunted insecure defenceless "
            "frightful"
        ),
        "mild": "uneasy tense concerned apprehensive* jumpy shy unsettled edgy wary hesitant",
        "strong": "terrified horrified petrified* panicked terror-stricken panic-stricken hysterical aghast*",
        "adverbs": (
            "fearfully anxiously nervously timidly* apprehensively* worriedly uneasily frightenedly tensely "
            "shyly"
        ),
        "nouns": (
            "fear terror fright dread horror panic anxiety worry nervousness* alarm unease apprehension* "
            "angst trepidation stage-fright"
        ),
        "acts": (
            "trembling, shaking with fear, screaming in fear, hiding, panicking, fleeing from danger, seeing "
            "a ghost, quivering*, worrying, biting nails"
        ),
        "phrases": (
            "scared to death, scared stiff, in a panic, on edge, with butterflies in the stomach, frightened "
            "out of my wits, freaked out, in fear, running for your life, nervous wreck"
        ),
        "other": (
            "ängstlich verängstigt besorgt nervös asustado miedo temeroso effrayé peur apeuré spaventato "
            "impaurito angstig assustado 害怕 恐惧 担心 怖い 不安 испуганный боюсь"
        ),
    },
    "disgusted": {
        "plain": (
            "disgusted repulsed revolted* grossed-out nauseous queasy* nauseated squeamish sickened* repelled "
            "disgusting gross distasteful"
        ),
        "mild": "put-off unappetised offended icky*",
        "strong": "appalled vomiting retching* sick-to-the-stomach revulsed abhorrent",
        "adverbs": "disgustedly repulsively* squeamishly revoltingly nauseously distastefully",
        "nouns": "disgust revulsion* repulsion nausea distaste loathing abhorrence* repugnance aversion",
        "acts": (
            "wrinkling the nose, gagging*, smelling something rotten, tasting something awful, vomiting, "
            "holding the nose, finding a hair in the soup, eating a lemon"
        ),
        "phrases": (
            "grossed out, eww, yuck, ugh gross, sick to my stomach, that is disgusting, it stinks, smells "
            "bad, how revolting, makes me want to throw up, ew"
        ),
        "other": (
            "angeekelt angewidert ekel asqueado asco repugnado dégoûté écœuré disgustato schifato walgend 恶心 "
            "厌恶 嫌悪 気持ち悪い отвращение противно"
        ),
    },
    "contemptuous": {
        "plain": (
            "contemptuous scornful* disdainful sneering smug arrogant haughty* condescending snobbish "
            "derisive superior sarcastic mocking snide cynical* patronising patronizing supercilious "
            "dismissive conceited smirking"
        ),
        "mild": "unimpressed skeptical sceptical ironic wry aloof* disapproving doubting cocky jaded",
        "strong": "despising withering* disparaging",
        "adverbs": (
            "contemptuously scornfully* disdainfully smugly arrogantly haughtily* condescendingly "
            "sarcastically mockingly dismissively cynically* sneeringly ironically"
        ),
        "nouns": (
            "contempt scorn* disdain arrogance smugness sarcasm mockery superiority condescension* derision "
            "snobbery cynicism* irony"
        ),
        "acts": (
            "sneering, smirking, scoffing*, rolling the eyes, looking down on everyone, mocking the loser, "
            "raising one eyebrow, turning up the nose"
        ),
        "phrases": (
            "looking down his nose, looking down her nose, holier than thou, as if they were dirt, with a "
            "smirk, with a sneer, high and mighty, whatever loser, eye roll"
        ),
        "other": (
            "verächtlich überheblich spöttisch despectivo desdeñoso arrogante méprisant hautain dédaigneux "
            "sprezzante minachtend desprezo 轻蔑 不屑 軽蔑 презрительный высокомерный"
        ),
    },
    "excited": {
        "plain": (
            "excited enthusiastic energetic eager* passionate animated lively hyped pumped spirited "
            "exuberant* zealous vivacious dynamic fired-up vibrant stirred hyper effusive* keen bubbly "
            "zestful"
        ),
        "mild": "interested motivated inspired perky* hopeful stimulated peppy",
        "strong": "thrilled exhilarated* electrified hyped-up wild-with-joy frenzied star-struck starstruck",
        "adverbs": (
            "excitedly enthusiastically eagerly* energetically passionately animatedly* zealously "
            "exuberantly* dynamically spiritedly keenly vibrantly"
        ),
        "nouns": (
            "excitement enthusiasm eagerness* energy passion thrill exhilaration* zeal zest exuberance "
            "fervour fervor anticipation hype"
        ),
        "acts": (
            "jumping up and down, cheering, celebrating a goal, winning the lottery, announcing the winner, "
            "cheering the crowd on, bouncing*, commentating a goal"
        ),
        "phrases": (
            "can hardly wait, cannot wait, fired up, pumped up, full of energy, raring to go, let's go, "
            "woohoo, on fire, party time, hip hip hooray, buzzing with ideas, full of beans"
        ),
        "other": (
            "aufgeregt begeistert enthusiastisch emocionado entusiasmado excité enthousiaste passionné "
            "entusiasta emozionato enthousiast opgewonden animado 兴奋 激动 热情 "
            "興奮 わくわく взволнованный восторженный"
        ),
    },
    "calm": {
        "plain": (
            "calm peaceful relaxed serene* composed tranquil placid* soothing quiet gentle mellow soft-spoken "
            "unhurried meditative laid-back collected easygoing zen unruffled* cool-headed restful balanced "
            "level-headed soft"
        ),
        "mild": "steady mild reassuring settled at-ease cosy comforting poised",
        "strong": "imperturbable* deeply-relaxed stoic unshakeable",
        "adverbs": (
            "calmly peacefully serenely* tranquilly quietly gently soothingly softly patiently* placidly* "
            "relaxedly composedly steadily"
        ),
        "nouns": (
            "calm calmness peace serenity* tranquility* composure quiet relaxation stillness gentleness "
            "patience ease equanimity zen"
        ),
        "acts": (
            "breathing slowly, meditating, relaxing, whispering softly, comforting a child, resting by the "
            "sea, unwinding*, soothing a baby, guiding a meditation"
        ),
        "phrases": (
            "at peace, at ease, cool and collected, laid back, chilled out, take it easy, keep calm, with a "
            "quiet voice, in harmony, cool as a cucumber, at rest"
        ),
        "other": (
            "ruhig gelassen entspannt tranquilo sereno calmado relajado calme tranquille paisible détendu "
            "tranquillo kalm rustig calmo 平静 冷静 放松 落ち着いた 穏やか спокойный"
        ),
    },
    "tired": {
        "plain": (
            "tired sleepy weary* drowsy fatigued* drained dozy yawning sluggish run-down lethargic* "
            "bleary-eyed groggy overworked jet-lagged sleep-deprived spent tiring"
        ),
        "mild": "weakened yawny languid* slow-moving heavy-eyed lacklustre",
        "strong": "exhausted dead-tired burnt-out burned-out* worn-out dog-tired knackered* overtired",
        "adverbs": "tiredly sleepily wearily* drowsily* groggily lethargically* sluggishly exhaustedly listlessly",
        "nouns": "tiredness* fatigue exhaustion weariness* sleepiness drowsiness* lethargy burnout sleep jetlag",
        "acts": (
            "yawning, falling asleep, nodding off, dozing*, rubbing the eyes, after a sleepless night, after "
            "a night shift, waking up too early, snoozing*"
        ),
        "phrases": (
            "worn out, burned out*, half asleep, out of energy, ready for bed, dead on my feet, in need of "
            "sleep, zzz, needs a nap, after a long day, barely awake, running on empty"
        ),
        "other": (
            "müde schläfrig erschöpft cansado agotado fatigué épuisé stanco assonnato esausto moe vermoeid 累 "
            "疲惫 困 疲れた 眠い усталый сонный"
        ),
    },
    "confused": {
        "plain": (
            "confused puzzled* perplexed baffled bewildered disoriented muddled mixed-up befuddled* dizzy "
            "clueless bemused mystified* flummoxed confounded uncomprehending dazed confusing"
        ),
        "mild": "unsure uncertain* doubtful undecided quizzical unclear questioning",
        "strong": "nonplussed* discombobulated utterly-baffled stumped",
        "adverbs": "confusedly puzzledly* perplexedly bewilderedly uncertainly* quizzically doubtfully dazedly",
        "nouns": "confusion bewilderment* perplexity* puzzlement bafflement uncertainty* doubt disorientation",
        "acts": (
            "scratching the head, frowning at a map, losing the thread, misunderstanding the question, trying "
            "to understand, squinting at the instructions"
        ),
        "phrases": (
            "all at sea, at a loss, what do you mean, i do not get it, i don't understand, huh, makes no "
            "sense, mixed up, not following, lost the plot"
        ),
        "other": (
            "verwirrt ratlos confundido desconcertado confus perplexe confuso perplesso verward 困惑 "
            "迷茫 糊涂 混乱した "
            "戸惑い растерянный озадаченный"
        ),
    },
    "thoughtful": {
        "plain": (
            "thoughtful pensive* reflective contemplative* thinking musing ruminative philosophical "
            "introspective absorbed considering deliberating studious analytical pondering intellectual* wise"
        ),
        "mild": "attentive focused considered inquisitive* curious careful concentrated",
        "strong": "deep-in-thought engrossed lost-in-thought profound brooding*",
        "adverbs": (
            "thoughtfully pensively* reflectively contemplatively* philosophically carefully attentively "
            "curiously analytically wisely"
        ),
        "nouns": (
            "thoughtfulness* contemplation* reflection thought introspection deliberation concentration "
            "curiosity consideration wisdom"
        ),
        "acts": (
            "thinking, pondering, musing, contemplating*, weighing the options, stroking the chin, solving a "
            "riddle, reflecting on life, thinking it over, choosing words carefully, wondering about the "
            "answer"
        ),
        "phrases": (
            "deep in thought, lost in thought, let me think, in a reflective mood, hmm, hmm let me see, on "
            "second thought, turning it over, giving it some thought"
        ),
        "other": (
            "nachdenklich grübelnd pensativo reflexivo pensif songeur réfléchi pensieroso riflessivo peinzend "
            "bedachtzaam 沉思 思考 深思 考え込む 思案 задумчивый"
        ),
    },
    "playful": {
        "plain": (
            "playful silly goofy* cheeky mischievous teasing funny joking* naughty flirty flirtatious "
            "whimsical* clownish witty frisky impish* childlike humorous zany quirky wacky coquettish comical"
        ),
        "mild": "amused winking jokey* tongue-in-cheek coy amusing",
        "strong": "hilarious clowning rollicking* madcap",
        "adverbs": (
            "playfully cheekily mischievously* teasingly jokingly* humorously flirtatiously impishly* "
            "whimsically* comically goofily"
        ),
        "nouns": "playfulness* mischief fun humour humor silliness* wit cheekiness naughtiness whimsy*",
        "acts": (
            "winking, joking*, teasing a friend, sticking out the tongue, telling a joke, playing a prank, "
            "making funny faces, fooling around, clowning, kidding, flirting"
        ),
        "phrases": (
            "just kidding, with a wink, tongue in cheek, monkeying around, full of mischief, in a silly mood, "
            "up to no good, like a clown, having a laugh, peekaboo, fooling about"
        ),
        "other": (
            "verspielt schelmisch albern frech juguetón travieso gracioso espiègle taquin malicieux drôle "
            "giocoso scherzoso speels brincalhão 顽皮 调皮 搞笑 いたずら ふざけた игривый шутливый"
        ),
    },
    "bored": {
        "plain": (
            "bored uninterested* indifferent apathetic* dull monotonous disinterested* unenthusiastic blasé "
            "uninspired tedious unengaged dreary monotone uninvolved"
        ),
        "mild": "unexcited detached distracted half-hearted* lukewarm absent-minded",
        "strong": "bored-stiff bored-to-death numb",
        "adverbs": (
            "boredly indifferently apathetically* dully monotonously* uninterestedly* unenthusiastically "
            "tediously half-heartedly drearily"
        ),
        "nouns": "boredom apathy* indifference disinterest* monotony* dullness tedium ennui",
        "acts": (
            "sighing with boredom, staring at the clock, twiddling thumbs, counting the minutes, sitting "
            "through a dull meeting, watching paint dry, waiting in line forever"
        ),
        "phrases": (
            "bored to tears, bored stiff, couldn't care less, could not care less, nothing to do, meh, so "
            "dull, yada yada, who cares, whatever, blah blah, when will it end"
        ),
        "other": (
            "gelangweilt langweilig aburrido indiferente ennuyé blasée lassé annoiato noioso verveeld "
            "entediado 无聊 厌倦 退屈 скучно скучающий"
        ),
    },
}
