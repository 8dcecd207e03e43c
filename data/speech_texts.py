"""What the synthetic voices say: sentences and words of several languages, and pseudo-words in their spelling.

All sentences are our own. Pseudo-words put every consonant beside every vowel, with weight on sounds that differ in
place alone (m/n, b/d/g, p/t/k); frames such as "bama dama gama" say them side by side.
"""

from __future__ import annotations

import numpy as np

SENTENCES = {
    "en": """The man put a big pan on top of the brown table.|Do you know my name, or did you make one up?
Nobody told me that the bus would come before nine.|A bad dog dug up the garden and buried a bone.
Pick up the paper cup and take it to the kitchen.|We might move to a new home near the moon bay museum.
Many men and women know more than nine numbers.|Good evening, my dear friends, how have you been today?
Could you give me the key to the garden gate?|The king of the big town took a long warm bath.
Please speak up, because I can hardly hear you.|Bob and Debbie bought a boat and painted it blue.
She sells cheap shoes to children in the village.|I would rather watch the yellow bird than the judge.
What a pity, nobody brought the apple pie.|My mother knew nothing, and no one had warned me.
Five very fine voices were heard above the river.|Thin things thank their thick brothers for the weather.
Today the temperature dropped by more than ten degrees.|Keep calm, take ten deep breaths, and begin again.
Open the map, point to the place, and stop talking.|The robot smiled, moved its lips, and began to sing.
Why would a wolf want to walk around the world?|Put the butter in the middle and mix it by hand.
Maybe tomorrow we may meet at noon by the monument.|A small change in the plan may make everyone happy.
Tom came home at a quarter past ten last night.|Please bring me a bottle of water and some bread.
He hopped, he clapped, he tapped his foot and laughed.|You are the only person I can always trust.
That was amazing, I can hardly believe my eyes!|No, I am not angry, only a little bit tired.""",
    "de": """Am Montag bringe ich dem Mann die neue Lampe mit.|Der Bäcker backt bis abends braune Brote und Brezeln.
Können Sie mir bitte sagen, wie spät es ist?|Mein Nachbar nimmt nie einen Mantel mit.
Die Kinder bauten dann am Ufer eine große Burg.|Plötzlich klopfte jemand dreimal an die Tür.
Ich möchte heute Nachmittag gern ein Buch kaufen.|Peter packte die Tassen und Töpfe in den Karton.
Über den Bergen ziehen dunkle Wolken auf.|Niemand kennt den Namen meiner neuen Mitbewohnerin.
Das Baby badet gern im warmen Wasser.|Gib mir bitte den Kugelschreiber dort drüben.
Morgen früh fährt der Zug um acht nach München.|Wir haben viel zu wenig Zeit für schöne Dinge.
Du darfst den Dackel nicht am Tisch füttern.|Pass auf, die Kanne kippt gleich um!
Sechs schnelle Füchse sprangen über den Zaun.|Im Oktober blühen kaum noch Blumen im Garten.""",
    "fr": """Ma mère a mis un bon repas sur la table.|Demain nous partons en bateau vers une petite île.
Le garçon a perdu son bonnet dans le bus bleu.|Pouvez-vous me donner un peu de pain, madame?
Je ne connais ni le nom ni le numéro du médecin.|Une jeune fille chante devant la vieille maison.
Il faut boire beaucoup d'eau quand il fait chaud.|Papa a peint la porte du petit pavillon.""",
    "es": """Mi mamá puso una mesa bonita para la comida.|El perro bebe agua en el patio de la casa.
No tengo ni un minuto para hablar de ese tema.|Mañana compraremos pan, tomates y un poco de queso.
¿Puedes darme la bolsa que está debajo de la cama?|La niña canta muy bien, pero nunca baila.
Buenos días, amigos, empezamos un nuevo programa.|Todo el mundo quiere vivir tranquilo y contento.""",
    "it": """La mamma di Bobbo compra pane, pomodori e un melone.|Domani mattina partiamo in treno per Napoli.
Non so nemmeno dove abita il nonno di Nino.|Il bambino batte le mani e poi beve il latte.
Buongiorno, posso avere una tazza di caffè?|Mio padre dipinge la porta con un pennello nuovo.
Che bella giornata, andiamo subito al mare!|Anna mette un mazzo di fiori in mezzo al tavolo.
Gli amici cantano una canzone sotto il balcone.|Quanto tempo manca prima di cominciare il gioco?""",
    "pt": """A minha mãe pôs o pão quente em cima da mesa.|O menino pediu um bocado de bolo ao avô.
Amanhã de manhã vamos nadar no mar.|Ninguém sabe o nome daquela montanha.
Podes dar-me a tua caneta, por favor?|O gato pequeno dorme debaixo da cama.""",
    "cs": """Máma má malou mísu a táta má nový nůž.|Babička dnes pekla buchty pro celou rodinu.
Potkal jsem pána, který nesl těžký batoh.|Kdo ti dal ten krásný modrý kabát?
Zítra bude možná pršet, tak si vezmi deštník.|Děti běhají po zahradě a hledají míč.
Na náměstí hrála kapela až do půlnoci.|Dobrý den, můžete mi prosím pomoci?""",
    "fi": """Mummo meni metsään ja poimi punaisia marjoja.|Poika potkaisi pallon naapurin pihalle.
Minun nimeni on Niina, ja asun pienessä talossa.|Huomenna menemme bussilla kaupunkiin.
Kuka otti kupin pois keittiön pöydältä?|Tänään on kaunis päivä, mutta tuuli on kylmä.
Hyvää huomenta, mitä sinulle kuuluu?|Isä teki tytölle punaisen puuveneen.""",
    "ca": """La mare compra pa i tomàquets al mercat.|El nen petit beu un got de llet.
Demà anem amb el tren fins a la muntanya.|Bon dia, em pots donar un paper?
No tinc temps de menjar abans de marxar.|La nena canta una cançó molt bonica.""",
    "ru": """Мама мыла белую раму тёплой водой.|Папа купил большой арбуз и пять бананов.
Никто не знает, как зовут нашего нового соседа.|Добрый день, можно мне стакан воды?
Дети бегают по саду и ищут мяч.|Завтра утром поезд пойдёт на север.""",
    "nl": """Mijn moeder bakt morgen een mooie taart.|De man nam de bus naar de binnenstad.
Kun je mij dat boek even geven, alsjeblieft?|Niemand weet hoe die kleine hond heet.""",
    "pl": """Mama kupiła pomidory, masło i białe bułki.|Pan Adam ma nowy dom na końcu miasta.
Proszę podać mi tę dużą butelkę wody.|Nikt nie pamięta, jak nazywa się ten film.""",
    "sv": """Min mamma bakar en god kaka med bär.|Pojken tappade bollen bakom bänken.
Kan du ge mig boken på bordet, tack?|Ingen minns namnet på den nya mannen.""",
    "tr": """Annem bana büyük bir masa ve mavi bir lamba aldı.|Bu sabah pazarda taze domates bulduk.
Kimse onun adını bilmiyor.|Kapının yanında küçük bir kedi uyuyor.""",
    "hu": """A mama meleg kenyeret tett a nagy asztalra.|Péter tegnap délben a buszon ült.
Nem tudom, mi a neve annak a magas embernek.|Kérem, adja ide azt a kék dobozt.""",
}

# language -> (onset consonants, codas, vowels) in its spelling; the contrasted stops and nasals are added to all
_CONTRAST = "m n b d g p t k".split()
SPELLING = {
    "en": ("f v s z sh ch j l r h w y th", "s sh ch l r x ng f v z", "a e i o u ee oo ay ow ah aw oy"),
    "de": ("f w s sch pf z l r h j", "s sch ch l r f ng st", "a e i o u ä ö ü ie ei au eu aa"),
    "fr": ("f v s z ch j l r", "l r s f che", "a é è i o u ou eu on an oi"),
    "es": ("f s ch l r rr j ll ñ c", "s l r n", "a e i o u ia ue"),
    "it": ("f v s z sci c l r gli gn", "l r n s", "a e i o u ia uo"),
    "pt": ("f v s z ch j l rr lh nh", "s l r", "a e i o u ão ei ou"),
    "cs": ("f v s z š ž č c l r ř h ch j", "s l r š v ch", "a e i o u á é í ou ů"),
    "fi": ("s l r h j v", "s l r n t", "a e i o u ä ö y aa ii uu ie uo"),
    "ca": ("f v s x j l r ll ny", "s l r n ny", "a e i o u à è ó"),
    "ru": ("ф в с з ш ж ч ц л р х", "с л р ш в х", "а э и о у ы я ю е"),
    "nl": ("f v s z sch l r h j w", "s l r f cht", "a e i o u aa ee ie oe oo ui eu ij"),
    "pl": ("f w s z sz ż cz c l ł r h", "s l r sz w", "a e i o u y ą ę"),
    "sv": ("f v s sj l r h j tj", "s l r v", "a e i o u y å ä ö"),
    "tr": ("f v s z ş c ç l r h y", "s l r ş z", "a e ı i o ö u ü"),
    "hu": ("f v s sz z zs cs c l r h j gy ny", "s l r sz z", "a á e é i o ó ö ő u ü"),
    "ro": ("f v s z ş j l r h", "s l r", "a e i o u ă â"),
    "id": ("f s z c j l r h y w", "s l r ng", "a e i o u ai au"),
    "sw": ("f v s z sh ch j l r h y w", "", "a e i o u"),
    "da": ("f v s l r h j", "s l r", "a e i o u y æ ø å"),
    "hr": ("f v s z š ž č c l r h j", "s l r š", "a e i o u"),
}
_CYRILLIC = dict(zip(_CONTRAST, "мнбдгптк", strict=True))


def _consonants(language: str, listed: str) -> list[str]:
    contrast = [_CYRILLIC[c] for c in _CONTRAST] if language == "ru" else _CONTRAST
    return 3 * contrast + listed.split()


def pseudo_words(language: str, rng: np.random.Generator, count: int) -> str:
    """`count` pseudo-words of 1 to 4 syllables; one time in three, words that differ in one consonant only."""
    onsets, codas, vowels = (part.split() for part in SPELLING[language])
    onsets, codas = _consonants(language, " ".join(onsets)), _consonants(language, " ".join(codas))
    coda_rate = 0.12 if language in ("it", "fi", "sw", "es") else 0.3

    def syllable() -> str:
        coda = rng.choice(codas) if rng.random() < coda_rate else ""
        return rng.choice(onsets) + rng.choice(vowels) + coda

    words: list[str] = []
    while len(words) < count:
        if rng.random() < 0.33:
            before, after = (syllable() if rng.random() < 0.4 else rng.choice(vowels)), rng.choice(vowels)
            tail = rng.choice(codas) if rng.random() < coda_rate else ""
            words += [before + rng.choice(onsets) + after + tail for _ in range(3)]
        else:
            onset = rng.choice(vowels) if rng.random() < 0.15 else ""
            words.append(onset + "".join(syllable() for _ in range(rng.choice([1, 2, 2, 3, 3, 4]))))
    words = words[:count]
    if count > 4 and rng.random() < 0.5:
        words[int(rng.integers(1, count - 2))] += ","
    return " ".join(words) + rng.choice([".", ".", "?", "!"])


def sentence(language: str, rng: np.random.Generator) -> str:
    """One sentence, or two short ones, or a few words of several sentences in a new order."""
    lines = [s.strip() for s in SENTENCES[language].replace("\n", "|").split("|") if s.strip()]
    if rng.random() < 0.45:
        words = [w.strip(".,!?¿¡") for s in rng.choice(lines, 4) for w in s.split()]
        return " ".join(rng.choice(words, int(rng.integers(6, 12)), replace=False)) + "."
    return str(rng.choice(lines))


def text(language: str, rng: np.random.Generator) -> str:
    """Half pseudo-words, half sentences (pseudo-words alone where the language has no sentences here)."""
    if language in SENTENCES and rng.random() < 0.5:
        return sentence(language, rng)
    return pseudo_words(language, rng, int(rng.integers(4, 9)))
