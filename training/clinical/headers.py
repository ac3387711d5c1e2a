"""Seeded fake identifiers for notes: (text, seed, pool) -> text with headers and labelled spans.

Nothing here belongs to a person: names are drawn from lists, numbers from the seed. The pools
`train` and `test` share no name, street, town or facility, so that what is scored was not learnt.
Does not touch the words of the note; `inject` only puts text before, between and after paragraphs.
"""

import random

from heads.data import Record

FIRST = (
    "Aaron Abigail Adaeze Adrian Aisha Alejandro Amelia Amir Ana Andre Anita Anneliese Ashok Astrid "
    "Beatriz Benjamin Bogdan Brianna Bridget Caleb Camila Carmen Cedric Chidi Chloe Claire Cormac "
    "Dalia Damian Daniela Darius Deepa Desmond Dimitri Dolores Dominic Eduardo Eileen Elena Elijah "
    "Emeka Esther Ethan Fatima Felix Fernando Fiona Francesca Gabriel Genevieve Giovanni Gloria "
    "Grace Hannah Harold Haruto Hassan Hector Helen Henrik Hiroshi Ibrahim Ignacio Imani Ingrid "
    "Irene Isaac Ivan Jamal Janet Javier Jerome Joanna Joaquin Jorge Josephine Joyce Julian Kamala "
    "Karim Katarzyna Keiko Kenneth Kwame Lakshmi Lamar Latoya Leila Leonard Lorenzo Lucia Magnus "
    "Malik Marcus Margaret Mariana Marjorie Martin Matilda Mei Miguel Milan Miriam Mohammed Monica "
    "Nadia Naomi Natalia Nathan Neha Nicholas Nikolai Nora Olga Oliver Olumide Omar Oscar Pablo "
    "Patrice Paulina Pedro Penelope Philip Priya Rachel Rafael Rajesh Ramona Raymond Rebecca Rhonda "
    "Roberto Rosalind Roy Ruth Salma Samuel Sandra Santiago Selma Serena Sergei Shanice Simone Sofia "
    "Stanley Stella Sunita Svetlana Sylvia Tamara Tariq Teresa Theodore Thomas Tobias Tyrone Ulrich "
    "Ursula Valentina Vanessa Victor Vikram Vincent Virginia Walter Wanda Wei Wendell Xavier Yasmin "
    "Yolanda Yuki Yusuf Zachary Zainab Zoe").split()
LAST = (
    "Abbott Abdullah Acosta Adeyemi Aguilar Ahmed Alvarez Andersson Archer Baker Banerjee Barnes "
    "Becker Bennett Bianchi Blackwood Bowman Boyd Brennan Bryant Callahan Campbell Cardenas Carlson "
    "Castillo Chandra Chang Chaudhry Chavez Cohen Coleman Contreras Cooper Crawford Dalton Davidson "
    "Delgado Diaz Dixon Donovan Douglas Drummond Duarte Dubois Eastman Edwards Eklund Ellison Eze "
    "Farrell Ferguson Fernandez Figueroa Fischer Fleming Flores Fontaine Foster Franklin Fraser "
    "Fujimoto Gallagher Garrison Gibson Goldberg Gonzales Grant Griffin Gupta Gutierrez Haddad Hall "
    "Hamilton Hansen Harper Hawkins Hayashi Henderson Hernandez Hoffman Hudson Hughes Hussain "
    "Ibarra Iyer Jacobsen Jankowski Jennings Jimenez Johansson Kapoor Kaufman Keller Khan Kim "
    "Kowalski Kumar Lambert Larsen Lawson Leblanc Lindqvist Livingston Lombardi Lopez MacDonald "
    "Maldonado Marsh Matsumoto McCarthy McKenzie Mendoza Meyer Mitchell Montgomery Moreno Morrison "
    "Murphy Mwangi Nakamura Navarro Nguyen Novak Nunez Obrien Ochoa Oconnor Okafor Olsen Ortega "
    "Osei Owens Pacheco Parsons Patel Pearson Peralta Petrov Pham Pierce Popescu Quinn Ramirez "
    "Randall Rao Reyes Ricci Rivera Robertson Romano Rosales Rossi Russo Salazar Sanders Santos "
    "Sato Schneider Schultz Sharma Shepherd Silva Simmons Singh Soto Stein Sullivan Sutherland "
    "Takahashi Tanaka Torres Tran Valdez Vargas Vasquez Vega Volkov Wagner Walsh Wang Watkins "
    "Weaver Whitaker Wilcox Winters Wong Yamamoto Yang Zamora Zhang Zimmerman").split()
TOWNS = (
    "Akron,OH Albany,NY Amarillo,TX Ashland,OR Augusta,GA Bakersfield,CA Bangor,ME Baton_Rouge,LA "
    "Beaumont,TX Bellingham,WA Biloxi,MS Boise,ID Bozeman,MT Brookfield,WI Burlington,VT Camden,NJ "
    "Cedar_Rapids,IA Charleston,SC Cheyenne,WY Clarksville,TN Dayton,OH Dearborn,MI Duluth,MN "
    "Durham,NC El_Paso,TX Erie,PA Eugene,OR Evansville,IN Fairview,TN Fargo,ND Flagstaff,AZ "
    "Fort_Wayne,IN Fresno,CA Georgetown,KY Grand_Rapids,MI Greenville,SC Harrisburg,PA Hartford,CT "
    "Huntsville,AL Jackson,MS Joplin,MO Kalamazoo,MI Lafayette,LA Lansing,MI Laredo,TX Lincoln,NE "
    "Macon,GA Madison,WI Medford,OR Mesa,AZ Mobile,AL Muncie,IN Nashua,NH Norfolk,VA Oakdale,MN "
    "Ogden,UT Olympia,WA Omaha,NE Peoria,IL Pueblo,CO Quincy,MA Racine,WI Reno,NV Roanoke,VA "
    "Rockford,IL Salem,OR Savannah,GA Scranton,PA Spokane,WA Syracuse,NY Tacoma,WA Toledo,OH "
    "Topeka,KS Tulsa,OK Utica,NY Waco,TX Wichita,KS Yonkers,NY Yuma,AZ").split()
STREETS = (
    "Alder Ash Beacon Birch Bridge Canal Cedar Chestnut Church Clinton College Cypress Dogwood Elm "
    "Fairfield Forest Franklin Garden Grove Harbor Hawthorne Hickory High Hillcrest Jefferson Juniper "
    "Lake Laurel Lincoln Linden Locust Madison Magnolia Main Maple Market Meadow Mill Monroe "
    "Mulberry Oak Orchard Park Pine Poplar Prospect River Sherwood Spring Spruce State Summit "
    "Sycamore Union Valley Walnut Washington Willow Windsor Woodland").split()
FACILITIES = (
    "Bayview Briarwood Cascade Clearwater Crestwood Eastgate Fairmont Glenwood Good_Samaritan "
    "Highland Holy_Cross Kingsley Lakeshore Maplewood Mercy Mount_Carmel Northside Oakridge "
    "Pinecrest Providence Ridgemont Riverbend Sacred_Heart Saint_Anne Saint_Luke Silverton "
    "Stonebridge Sunnyvale Trinity Westbrook").split()
KINDS = ("Hospital", "Medical Center", "Clinic", "Family Practice", "Regional Hospital",
         "Community Hospital", "Health Center", "Cancer Center")
MONTHS = ("January February March April May June July August September October November "
          "December").split()
SUFFIXES = ("St", "Street", "Ave", "Avenue", "Rd", "Road", "Lane", "Dr", "Blvd", "Court")


class Faker:
    """Draws identifiers; equal seeds draw equal ones."""

    def __init__(self, seed, pool="train"):
        self.rng = random.Random(f"{pool} {seed}")
        # Two in three of every list are for training.
        self.keep = (lambda i: i % 3 != 2) if pool == "train" else (lambda i: i % 3 == 2)

    def pick(self, items):
        chosen = [item for i, item in enumerate(items) if self.keep(i)]
        return self.rng.choice(chosen).replace("_", " ")

    def digits(self, n):
        return "".join(self.rng.choice("0123456789") for _ in range(n))

    def letters(self, n):
        return "".join(self.rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(n))

    def name(self):
        first, last = self.pick(FIRST), self.pick(LAST)
        middle = self.letters(1)
        return self.rng.choice((f"{first} {last}", f"{first} {last}", f"{last}, {first}",
                                f"{first} {middle}. {last}", f"{last}, {first} {middle}.",
                                f"{first} {last[0]}.", f"{last.upper()}, {first.upper()}"))

    def doctor(self):
        first, last = self.pick(FIRST), self.pick(LAST)
        return self.rng.choice((f"Dr. {last}", f"Dr. {first} {last}", f"{first} {last}",
                                f"Dr {last}", f"{first[0]}. {last}"))

    def date(self):
        d, m, y = self.rng.randint(1, 28), self.rng.randint(1, 12), self.rng.randint(1931, 2025)
        month = MONTHS[m - 1]
        return self.rng.choice((
            f"{m:02}/{d:02}/{y}", f"{m}/{d}/{y}", f"{m}/{d}/{y % 100:02}", f"{y}-{m:02}-{d:02}",
            f"{month} {d}, {y}", f"{month[:3]} {d}, {y}", f"{d} {month} {y}", f"{d}-{month[:3]}-{y}",
            f"{m:02}-{d:02}-{y}", f"{month} {y}", f"{month} {d}", f"{d:02}.{m:02}.{y}"))

    def address(self):
        town, state = self.pick(TOWNS).split(",")
        street = f"{self.rng.randint(2, 9900)} {self.pick(STREETS)} {self.rng.choice(SUFFIXES)}"
        flat = self.rng.choice(("", "", f" Apt {self.rng.randint(1, 99)}", f", Suite {self.digits(3)}"))
        return f"{street}{flat}, {town}, {state} {self.digits(5)}"

    def place(self):
        town, state = self.pick(TOWNS).split(",")
        facility = f"{self.pick(FACILITIES)} {self.rng.choice(KINDS)}"
        return self.rng.choice((facility, facility, f"{facility} in {town}", town, f"{town}, {state}"))

    def phone(self):
        a, b, c = self.rng.choice("23456789") + self.digits(2), self.digits(3), self.digits(4)
        return self.rng.choice((f"{a}-{b}-{c}", f"({a}) {b}-{c}", f"{a}.{b}.{c}", f"+1 {a} {b} {c}",
                                f"1-{a}-{b}-{c}", f"({a}) {b}-{c} ext. {self.digits(3)}"))

    def ssn(self):
        return f"{self.digits(3)}-{self.digits(2)}-{self.digits(4)}"

    def email(self):
        first, last = self.pick(FIRST).lower(), self.pick(LAST).lower()
        host = self.rng.choice(("example.com", "example.org", "mail.example.net"))
        user = self.rng.choice((f"{first}.{last}", f"{first[0]}{last}", f"{first}{self.digits(2)}",
                                f"{last}_{first}"))
        return f"{user}@{host}"

    def record(self):
        return self.rng.choice((self.digits(6), self.digits(7), self.digits(8),
                                f"{self.letters(2)}-{self.digits(6)}", f"MR{self.digits(7)}",
                                f"{self.digits(3)}-{self.digits(2)}-{self.digits(2)}",
                                f"#{self.letters(2)}-{self.digits(6)}", f"#{self.digits(7)}"))

    def plan(self):
        return self.rng.choice((f"{self.letters(3)}-{self.digits(6)}", f"{self.letters(3)}{self.digits(9)}",
                                f"{self.letters(2)}-{self.digits(6)}", self.digits(9),
                                f"HP-{self.digits(6)}", f"{self.letters(1)}{self.digits(8)}",
                                f"#{self.letters(3)}-{self.digits(6)}"))

    def other(self):
        return self.rng.choice((f"{self.letters(2)}{self.digits(6)}", self.digits(10),
                                f"{self.letters(2)}-{self.digits(6)}", f"#{self.digits(6)}",
                                f"192.168.{self.rng.randint(0, 255)}.{self.rng.randint(1, 254)}",
                                f"https://portal.example.org/p/{self.digits(6)}"))

    def draw(self, label):
        return {
            "phi_NAME": self.name, "phi_LOCATION": self.address, "phi_DATE": self.date,
            "phi_RECORD_NUMBER": self.record, "phi_PLAN_NUMBER": self.plan, "phi_PHONE": self.phone,
            "phi_SSN": self.ssn, "phi_EMAIL": self.email, "phi_ID": self.other,
            "doctor": self.doctor, "place": self.place,
        }[label]()


FIELDS = (
    (("Patient", "Patient Name", "Name", "Pt", "PATIENT", "Patient name"), "phi_NAME", 1.0),
    (("MRN", "MRN #", "Medical Record Number", "Medical Record #", "Record No.", "Chart #", "Chart No.",
      "Hospital number", "MR#"), "phi_RECORD_NUMBER", 0.9),
    (("DOB", "Date of Birth", "Birth date", "D.O.B.", "Born"), "phi_DATE", 0.8),
    (("Date of Service", "Visit date", "Admitted", "Admission Date", "Discharged", "Date",
      "Date of visit"), "phi_DATE", 0.7),
    (("Address", "Home address", "Residence", "Mailing address"), "phi_LOCATION", 0.5),
    (("Phone", "Tel", "Telephone", "Cell", "Home phone", "Contact", "Fax", "Mobile"), "phi_PHONE", 0.6),
    (("Email", "E-mail", "E-mail address"), "phi_EMAIL", 0.35),
    (("SSN", "Social Security Number", "SS#", "Social Security No."), "phi_SSN", 0.35),
    (("Insurance ID", "Member ID", "Plan number", "Policy #", "Health plan ID", "Subscriber ID",
      "Insurance plan number", "Beneficiary number", "Medicare number"), "phi_PLAN_NUMBER", 0.5),
    (("Account #", "Account number", "License #", "Case ID", "Device serial", "Visit ID", "Patient ID",
      "Encounter"), "phi_ID", 0.4),
    (("Provider", "Attending", "Referring physician", "PCP", "Dictated by", "Surgeon"), "doctor", 0.6),
    (("Facility", "Location", "Clinic", "Hospital", "Site"), "place", 0.5),
)
SENTENCES = (
    ("{phi_NAME} was seen at {place} on {phi_DATE}.", 2),
    ("I spoke with the patient's daughter, {phi_NAME}, at {phi_PHONE}.", 1),
    ("The patient was transferred from {place} on {phi_DATE} under the care of {doctor}.", 2),
    ("Records (MRN {phi_RECORD_NUMBER}) were requested from {place}.", 1),
    ("The patient lives at {phi_LOCATION} with his wife {phi_NAME}.", 1),
    ("Follow-up with {doctor} at {place} is scheduled for {phi_DATE}.", 2),
    ("Emergency contact: {phi_NAME}, {phi_PHONE}.", 1),
    ("Insurance plan number {phi_PLAN_NUMBER} was verified on {phi_DATE}.", 1),
    ("Results can be sent to {phi_EMAIL} or by fax to {phi_PHONE}.", 1),
    ("Social security number {phi_SSN} on file; account {phi_ID}.", 1),
    ("Imaging from {phi_DATE} at {place} was reviewed with {doctor}.", 2),
)
FOOTERS = (
    "Electronically signed by {doctor}, MD on {phi_DATE}",
    "Dictated by: {doctor}, {phi_DATE}. cc: {doctor}, fax {phi_PHONE}",
    "{doctor}, MD\n{place}\nTel {phi_PHONE}",
    "Page 1 - {phi_NAME} - MRN {phi_RECORD_NUMBER} - DOB {phi_DATE}",
)
LABEL_OF = {"doctor": "phi_NAME", "place": "phi_LOCATION"}


def fill(template, faker):
    """Text and spans of a template's `{kind}` slots."""
    text, spans = "", []
    for part in template.split("{"):
        kind, brace, rest = part.partition("}")
        if brace:
            value = faker.draw(kind)
            spans.append((LABEL_OF.get(kind, kind), len(text), len(text) + len(value)))
            text += value + rest
        else:
            text += part
    return text, spans


def header(faker):
    """A block of `label: value` entries, one a line or several."""
    rng = faker.rng
    fields = [f for f in FIELDS if rng.random() < f[2]]
    if rng.random() < 0.5:
        rng.shuffle(fields)
    if rng.random() < 0.5:
        facility = "{place}\n"
    else:
        facility = ""
    joiner = rng.choice(("\n", "\n", "\n", "   ", " | ", "; "))
    mark = rng.choice((": ", ": ", ":", " "))
    entries = [f"{rng.choice(names)}{mark}{{{kind}}}" for names, kind, _ in fields]
    return fill(facility + joiner.join(entries), faker)


def inject(text, seed, pool="train"):
    """The note with a header, up to three sentences between its paragraphs and mostly a footer.
    Returns the text, the spans put in as (label, start, end), and `moved`, a function from an
    offset of the note to one of the result."""
    faker = Faker(seed, pool)
    rng = faker.rng
    breaks = [i + 2 for i in range(len(text) - 2) if text[i : i + 2] == "\n\n"]
    pieces = [(0, "{}\n\n", header(faker))]
    for at in sorted(rng.sample(breaks, min(len(breaks), rng.randint(0, 3)))):
        template = rng.choices([s for s, _ in SENTENCES], [w for _, w in SENTENCES])[0]
        pieces.append((at, "{}\n\n", fill(template, faker)))
    if rng.random() < 0.7:
        pieces.append((len(text), "\n\n{}\n", fill(rng.choice(FOOTERS), faker)))
    out, spans, cuts, done = "", [], [], 0
    for at, frame, (piece, inside) in pieces:
        out += text[done:at]
        before = len(out) + frame.index("{")
        spans += [(label, before + a, before + b) for label, a, b in inside]
        out += frame.format(piece)
        cuts.append((at, len(out) - at))
        done = at
    out += text[done:]

    def moved(offset):
        return offset + max((shift for at, shift in cuts if at <= offset), default=0)

    return out, spans, moved


def with_headers(record, seed, pool="train"):
    """A record with identifiers injected and its own spans moved."""
    text, spans, moved = inject(record.text, seed, pool)
    own = {head: [(label, moved(a), moved(b - 1) + 1) for label, a, b in found]
           for head, found in record.spans.items()}
    own["phi"] = sorted(own.get("phi", []) + spans, key=lambda s: s[1])
    return Record(f"{record.id}-{pool}{seed}", text, own, record.classes)
